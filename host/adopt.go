package host

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// adoptWait is how long a session waits for the worker that it lived on to answer.
	adoptWait = time.Second
	// rejoinWait is how long it may take to record that it goes on there.
	rejoinWait = 3 * time.Second
	// adoptBound is how long taking over a dead host's workers may take, but for ending those
	// that aren't.
	adoptBound = time.Second
	// maxAdoptions is of how many owners it's remembered that their workers were taken over.
	maxAdoptions = 64
)

// adoptions are the owners whose workers were taken over, or are about to be.
type adoptions struct {
	rejoin func(*session, Session, Left) // goes on for the session, whatever a call's context says

	mu sync.Mutex
	by map[Owner]*adoption
}

// adoption is the taking over of one owner's workers.
type adoption struct {
	seated chan struct{} // closed once those have seats that there are
	cancel context.CancelFunc
}

// left says where a session lived that has come here without a home; the zero value: it
// can't go on there.
func (t *sessions) left(record Session) Left {
	registry, ok := t.registry.(LeftRegistry)
	if !ok || record.Home != "" || t.disowned.Load() {
		return Left{}
	}
	return registry.Left(record.ID)
}

// follow has a session go on where it lived before it was moved here: on a survivor of
// this node's own last host, or on one that is adopted from a neighbour. Its calls wait
// until known is called; nil: they don't.
func (h *Host) follow(s *session, record Session, left Left, known func()) {
	if known == nil {
		return
	}
	if !h.background(func() { defer known(); h.adoptions.rejoin(s, record, left) }) {
		known()
	}
}

// rejoin binds a session to the worker that it lived on, if that is or comes here in time.
// It returns once that's settled: who isn't gone on with can't run the session's calls any more.
func (h *Host) rejoin(s *session, record Session, left Left) {
	m := s.pool.survivor(left.Home)
	if m == nil && h.cfg.Adopt != nil {
		<-h.adopt(left.Owner)
		m = s.pool.survivor(left.Home)
	}
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adoptWait)
	defer cancel()
	if !s.pool.arrived(ctx, m) {
		if h.dislodge(m); ctx.Err() != nil {
			h.log.Warn("a worker doesn't answer in time: its sessions are restored", "worker", m.id, "within", adoptWait)
		}
		return
	}
	ctx, cancel = context.WithTimeout(context.Background(), rejoinWait) // all of a lost node's sessions write at once
	defer cancel()
	bound, err := h.cfg.Registry.BindSession(ctx, record.ID, m.id, record.Epoch)
	if err != nil || h.sessions.disowned.Load() {
		h.killFor(m, "a session that lived there can't go on there")
		return
	}
	s.adopt(bound, m, false, Left{})
}

// dislodge ends a worker that doesn't take up service, and waits until it's gone.
func (h *Host) dislodge(m *member) {
	p := m.pool
	_ = p.tell(context.Background(), h.stopping, func(_ context.Context, st *steward) { st.evict(m) }) // stopping: it's ended by that
	p.arrived(context.Background(), m)
}

// Dislodge ends a worker that another host started and that hasn't taken up service
// here, and returns once it's gone. Any other goes on.
func (h *Host) Dislodge(id WorkerID) {
	for _, p := range h.order {
		if m := p.survivor(id); m != nil {
			h.dislodge(m)
		}
	}
}

// arrived waits until a worker that is starting has taken up service, and reports whether it has.
func (p *pool) arrived(ctx context.Context, m *member) bool {
	for {
		p.mu.Lock()
		state, changed := m.state, p.changed
		p.mu.Unlock()
		if state != WorkerStarting {
			return state == WorkerReady
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// survivor finds a worker that another host started.
func (p *pool) survivor(id WorkerID) *member {
	if m := p.member(id); m != nil && m.survivor {
		return m
	}
	return nil
}

// adopt takes over the workers of a dead owner, once, and returns what is closed when
// they have seats.
func (h *Host) adopt(from Owner) <-chan struct{} {
	h.adoptions.mu.Lock()
	defer h.adoptions.mu.Unlock()
	if a := h.adoptions.by[from]; a != nil {
		return a.seated
	}
	h.adoptions.makeRoom()
	ctx, cancel := context.WithTimeout(context.Background(), adoptBound)
	a := &adoption{seated: make(chan struct{}), cancel: cancel}
	h.adoptions.by[from] = a
	if h.sessions.disowned.Load() || !h.background(func() { defer close(a.seated); defer cancel(); h.seatAdopted(h.takeOver(ctx, from)) }) { //nolint:contextcheck // the seating has a time of its own
		cancel()
		close(a.seated)
	}
	return a.seated
}

// renounce ends what was left by others and isn't gone on with yet: whatever it's
// amidst would go on under the next lease. None comes later.
func (h *Host) renounce() {
	h.adoptions.mu.Lock()
	under := slices.Collect(maps.Values(h.adoptions.by))
	h.adoptions.mu.Unlock()
	for _, a := range under {
		a.cancel()
		<-a.seated
	}
	var ending sync.WaitGroup
	for _, p := range h.order {
		for _, m := range p.awaited() {
			ending.Go(func() { h.dislodge(m) })
		}
	}
	ending.Wait()
}

// awaited are the workers of another host that haven't taken up service here.
func (p *pool) awaited() (all []*member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.survivor && m.state == WorkerStarting {
			all = append(all, m)
		}
	}
	return all
}

// makeRoom forgets those that are over.
func (a *adoptions) makeRoom() {
	if len(a.by) >= maxAdoptions {
		maps.DeleteFunc(a.by, func(_ Owner, one *adoption) bool { return isDone(one.seated) })
	}
}

func (h *Host) takeOver(ctx context.Context, from Owner) []Survivor {
	if _, ok := h.cfg.Launcher.(Reattacher); !ok {
		return nil
	}
	return h.cfg.Adopt(ctx, from)
}

func (h *Host) seatAdopted(all []Survivor) {
	launcher, _ := h.cfg.Launcher.(Reattacher)                           // or there are none
	ctx, cancel := context.WithTimeout(context.Background(), adoptBound) // the taking over may have used another one up
	defer cancel()
	for _, s := range all {
		p := h.pools[s.Pool]
		if p == nil || h.sessions.disowned.Load() || p.tell(ctx, h.stopping, func(ctx context.Context, st *steward) { st.host(ctx, s.Worker) }) != nil {
			launcher.Forsake(s.Worker)
		}
	}
}

// pend keeps the session's calls waiting until the function is called that it returns. The
// mutex is held.
func (s *session) pend() (known func()) {
	pending := make(chan struct{})
	s.pending = pending
	return func() {
		s.mu.Lock()
		s.pending = nil
		s.mu.Unlock()
		close(pending)
	}
}

// await waits until it's known whether a session that was moved here goes on where it
// lived before, or until it's moved on.
func (s *session) await(ctx context.Context) (standing, error) {
	for {
		at := s.state()
		if at.pending == nil {
			return at, nil
		}
		select {
		case <-at.pending:
		case <-s.left:
			return s.state(), nil
		case <-ctx.Done():
			return at, ended(ctx, "while its session's worker was taken over from another host")
		}
	}
}
