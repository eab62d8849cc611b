package host

import (
	"sync"
	"time"
)

// session is what the engine knows of one session: its record, its home, and the
// queue of calls that take turns in it. The registry keeps the record; the engine
// asks for it once and then only when the home changes.
type session struct {
	id SessionID

	mu      sync.Mutex // guards all below, for memory only
	pool    *pool      // the record's, once there is one; until then that of the call with the turn
	phase   phase
	holders int  // how many have the turn: several when it's shared
	shared  bool // those who have it let others have it as well
	closing bool // somebody tells the registry that it has expired
	queue   fifo[*turnWaiter]
	record  Session
	home    *member       // nil: not on this host
	unused  bool          // no call has reached the home yet, so nothing is lost with it
	moving  chan struct{} // closed when the call that looks for a new home has one, or none; nil: nobody does
	lastUse time.Time
}

// phase is how far a session has come.
type phase int

const (
	phaseNew     phase = iota // named by a call, not recorded yet
	phaseOpen                 // recorded
	phaseExpired              // its time has run out; the registry may not know yet
	phaseClosed               // forgotten: look it up again
)

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

// expire marks an unused session whose time has run out, and reports whether the
// caller has to tell the registry, and then call told.
func (s *session) expire(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseOpen && s.holders == 0 && s.record.TTL > 0 && now.Sub(s.lastUse) > s.record.TTL {
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
// Unused says that nothing has reached it yet.
func (s *session) adopt(record Session, home *member, unused bool) {
	s.mu.Lock()
	old, p, strict := s.home, s.pool, record.Affinity.strict() != ""
	s.phase, s.record, s.home, s.unused = phaseOpen, record, home, unused
	s.mu.Unlock()
	p.moveHome(old, home, strict)
}

// end marks the session as forgotten.
func (s *session) end() {
	s.mu.Lock()
	old, p, strict := s.home, s.pool, s.record.Affinity.strict() != ""
	s.phase, s.home = phaseClosed, nil
	s.mu.Unlock()
	p.moveHome(old, nil, strict)
}

// moveHome counts a session on another worker; nil stands for none.
func (p *pool) moveHome(from, to *member, strict bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from.countSession(-1, strict)
	to.countSession(1, strict)
}

func (m *member) countSession(n int, strict bool) {
	if m == nil {
		return
	}
	m.sessions += n
	if strict {
		m.strict += n
	}
}

// reached notes that a call is on the session's home, which may keep something in
// memory from now on.
func (s *session) reached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unused = false
}

// standing is what a call with the turn needs to know.
type standing struct {
	phase  phase
	record Session
	home   *member
	unused bool
}

func (s *session) state() standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return standing{s.phase, s.record, s.home, s.unused}
}

// move lets one call at a time look for a new home: it gets a function to call when
// it's done, the others what to wait for.
func (s *session) move() (done func(), wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moving != nil {
		return nil, s.moving
	}
	moving := make(chan struct{})
	s.moving = moving
	return func() {
		s.mu.Lock()
		s.moving = nil
		s.mu.Unlock()
		close(moving)
	}, nil
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

// concurrent reports whether the session is open and its calls don't take turns.
func (s *session) concurrent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shares()
}
