package host

import (
	"context"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// session is what the engine knows of one session: its record, its home, and the
// queue of calls that take turns in it. The registry keeps the record; the engine
// asks for it once and then only when the home changes.
type session struct {
	id SessionID

	mu      sync.Mutex // guards all below, for memory only
	pool    *pool      // the record's, once there is one; until then that of the call with the turn
	phase   phase
	busy    bool // somebody has the turn
	closing bool // somebody tells the registry that it has expired
	queue   fifo[*turnWaiter]
	record  Session
	home    *member // nil: not on this host
	lastUse time.Time
	line    *lineage // of the call that has the turn
}

// phase is how far a session has come.
type phase int

const (
	phaseNew     phase = iota // named by a call, not recorded yet
	phaseOpen                 // recorded
	phaseExpired              // its time has run out; the registry may not know yet
	phaseClosed               // forgotten: look it up again
)

// turnWaiter is a call, or a close, that waits for its turn.
type turnWaiter struct {
	place link[*turnWaiter]
	turn  chan struct{} // closed when the turn has come
}

// take waits for the session's turn, in order of arrival. It fails with
// session_expired when the session's time has run out; errStale says that the
// session has been closed meanwhile, and must be looked up again.
func (s *session) take(ctx context.Context, t *ticket) error {
	w, err := s.arrive(t)
	if w == nil {
		return err
	}
	select {
	case <-w.turn:
		return s.checkTurn()
	case <-ctx.Done():
		err = ended(ctx, "while it waited for its session's turn")
	case <-t.expired():
		err = errdefs.New(errdefs.QueueTimeout, "earlier calls of its session took longer than %s", t.pool.cfg().QueueTimeout)
	}
	s.leaveQueue(w)
	return err
}

func (s *session) arrive(t *ticket) (*turnWaiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stale(); err != nil {
		return nil, err
	}
	if !s.busy {
		s.busy = true
		return nil, nil
	}
	if err := t.wait(); err != nil {
		return nil, err
	}
	w := &turnWaiter{turn: make(chan struct{})}
	w.place.value = w
	s.queue.push(&w.place)
	return w, nil
}

// checkTurn gives the turn back when it's of no use any more.
func (s *session) checkTurn() error {
	s.mu.Lock()
	err := s.stale()
	s.mu.Unlock()
	if err != nil {
		s.pass()
	}
	return err
}

func (s *session) stale() error {
	switch s.phase {
	case phaseNew, phaseOpen:
		return nil
	case phaseExpired:
		return sessionExpired(s.id)
	case phaseClosed:
		return errStale
	}
	return errStale
}

// leaveQueue gives up waiting. A turn that came in the same moment is passed on.
func (s *session) leaveQueue(w *turnWaiter) {
	s.mu.Lock()
	queued := s.queue.remove(&w.place)
	s.mu.Unlock()
	if !queued {
		s.pass()
	}
}

// pass hands the turn to the next in the queue. Nobody waits and nothing was
// recorded: the session might as well not be there, and it's closed.
func (s *session) pass() (abandoned bool) {
	s.mu.Lock()
	s.line = nil
	s.lastUse = time.Now()
	next := s.queue.pop()
	if next == nil {
		s.busy = false
		if s.phase == phaseNew {
			s.phase, abandoned = phaseClosed, true
		}
	}
	s.mu.Unlock()
	if next != nil {
		close(next.value.turn)
	}
	return abandoned
}

// expire marks an unused session whose time has run out, and reports whether the
// caller has to tell the registry, and then call told.
func (s *session) expire(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseOpen && !s.busy && s.record.TTL > 0 && now.Sub(s.lastUse) > s.record.TTL {
		s.phase = phaseExpired
	}
	if s.phase != phaseExpired || s.closing {
		return false
	}
	s.closing = true
	return true
}

func (s *session) told() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = false
}

// claim binds a session that isn't recorded yet to the pool of the call with the
// turn (nil: to the one it has), and returns its phase and pool.
func (s *session) claim(p *pool) (phase, *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseNew && p != nil {
		s.pool = p
	}
	return s.phase, s.pool
}

// adopt takes over what the registry says; home is the worker that it names, or nil.
func (s *session) adopt(record Session, home *member) {
	s.mu.Lock()
	old, p := s.home, s.pool
	s.phase, s.record, s.home = phaseOpen, record, home
	s.mu.Unlock()
	p.moveHome(old, home)
}

// end marks the session as forgotten.
func (s *session) end() {
	s.mu.Lock()
	old, p := s.home, s.pool
	s.phase, s.home = phaseClosed, nil
	s.mu.Unlock()
	p.moveHome(old, nil)
}

// state gives what a call with the turn needs to know.
func (s *session) state() (phase, Session, *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase, s.record, s.home
}

// boundTo is the pool of a session that is open; nil for one that isn't.
func (s *session) boundTo() *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseOpen {
		return nil
	}
	return s.pool
}

func (s *session) setLine(l *lineage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = l
}

func (s *session) lineage() *lineage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line
}
