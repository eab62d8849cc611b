package host

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// adoptWait is how long a session waits for the worker that it lived on.
	adoptWait = time.Second
	// adoptBound is how long taking over a dead host's workers may take: those that come
	// after their sessions went elsewhere are ended.
	adoptBound = 5 * time.Second
	// maxAdoptions is of how many owners it's remembered that their workers were taken over.
	maxAdoptions = 64
)

// adoptions are the owners whose workers were taken over, or are about to be.
type adoptions struct {
	rejoin func(*session, Session, *pool, Left) // goes on for the session, whatever a call's context says

	mu sync.Mutex
	by map[Owner]chan struct{} // closed once those have seats that there are
}

// follow has a session go on where it lived before it was moved here: on a survivor of
// this node's own last host, or on one that is adopted from a neighbour. Its calls wait
// until that's known.
func (h *Host) follow(record Session, p *pool) {
	registry, ok := h.cfg.Registry.(LeftRegistry)
	if !ok || record.Home != "" || h.sessions.disowned.Load() {
		return
	}
	left, s := registry.Left(record.ID), h.sessions.find(record.ID)
	if left.Home == "" || s == nil {
		return
	}
	known := s.pend(record)
	if known == nil {
		return
	}
	if !h.background(func() { defer known(); h.adoptions.rejoin(s, record, p, left) }) {
		known()
	}
}

// rejoin binds a session to the worker that it lived on, if that is or comes here in time.
func (h *Host) rejoin(s *session, record Session, p *pool, left Left) {
	ctx, cancel := context.WithTimeout(context.Background(), adoptWait)
	defer cancel()
	m := p.survivor(left.Home)
	if m == nil && h.cfg.Adopt != nil {
		select {
		case <-h.adopt(left.Owner):
			m = p.survivor(left.Home)
		case <-ctx.Done():
		}
	}
	if m == nil || !p.arrived(ctx, m) || h.sessions.disowned.Load() {
		return
	}
	bound, err := h.cfg.Registry.BindSession(ctx, record.ID, m.id, record.Epoch)
	if err != nil {
		p.log.Warn("a session can't go on where it lived, and is restored", "session", record.ID, "worker", m.id, "error", err)
		return
	}
	s.adopt(bound, m, false)
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

// pend keeps the calls of a session that has just been moved here waiting until the
// function is called that it returns; nil: it isn't that session any more, or a call has
// begun to look for a home.
func (s *session) pend(record Session) (known func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseOpen || s.record.Epoch != record.Epoch || s.home != nil || s.moving != nil || s.pending != nil {
		return nil
	}
	led := make(chan struct{})
	s.pending = led
	return func() {
		s.mu.Lock()
		s.pending = nil
		s.mu.Unlock()
		close(led)
	}
}
