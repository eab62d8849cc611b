package host

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// adoptWait is how long a session waits for the worker that it lived on to answer.
	adoptWait = time.Second
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
	by map[Owner]chan struct{} // closed once those have seats that there are
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
	_ = p.tell(context.Background(), h.stopped, func(_ context.Context, st *steward) { st.evict(m) }) // stopped: it's ended by that
	p.arrived(context.Background(), m)
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
	if seated := h.adoptions.by[from]; seated != nil {
		return seated
	}
	h.adoptions.makeRoom()
	seated := make(chan struct{})
	h.adoptions.by[from] = seated
	if !h.background(func() { defer close(seated); h.seatAdopted(from) }) {
		close(seated)
	}
	return seated
}

// makeRoom forgets those that are over.
func (a *adoptions) makeRoom() {
	if len(a.by) >= maxAdoptions {
		maps.DeleteFunc(a.by, func(_ Owner, seated chan struct{}) bool { return isDone(seated) })
	}
}

func (h *Host) seatAdopted(from Owner) {
	launcher, ok := h.cfg.Launcher.(Reattacher)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adoptBound)
	defer cancel()
	for _, s := range h.cfg.Adopt(ctx, from) {
		p := h.pools[s.Pool]
		if p == nil || p.tell(ctx, h.stopped, func(ctx context.Context, st *steward) { st.host(ctx, s.Worker) }) != nil {
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
