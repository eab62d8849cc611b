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
	moving  chan struct{} // closed when the call that looks for a new home, or sees to its hook, is done; nil: nobody does
	lastUse time.Time

	pending chan struct{} // closed when it's known whether the session goes on where it lived; nil: it's known
	mover   *grant        // of the call that sees to the hook
	left    chan struct{} // closed when the session isn't this node's any more
	opened  bool          // some home has had the hook of its opening
	due     string        // the hook that comes before the first call on the home; empty: none
	saved   []byte        // what the hook of its restoring is to get; nil: nothing
	aboard  []*grant      // of those calls and hooks that are on a worker, or about to be
	ending  bool          // it's being closed by this host
	unknown *Session      // recorded for this node while it was new here; nil: no such thing
}

func newSession(id SessionID, p *pool) *session {
	return &session{id: id, pool: p, lastUse: time.Now(), left: make(chan struct{})}
}

// phase is how far a session has come.
type phase int

const (
	phaseNew     phase = iota // named by a call, not recorded yet
	phaseOpen                 // recorded
	phaseExpired              // its time has run out; the registry may not know yet
	phaseClosed               // forgotten: look it up again
	phaseMoved                // another node's
)

func (s *session) stale() error {
	switch s.phase {
	case phaseNew, phaseOpen:
		return nil
	case phaseExpired:
		return sessionExpired(s.id)
	case phaseMoved:
		return movedAway(s.id)
	case phaseClosed:
		return errStale
	}
	return errStale
}

// expire marks an unused session whose time has run out, and reports whether the
// caller has to tell the registry, and then call told. Only its owner ends it.
func (s *session) expire(now time.Time, own func(Session) error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseOpen && s.holders == 0 && s.pending == nil && s.record.TTL > 0 && now.Sub(s.lastUse) > s.record.TTL && own(s.record) == nil {
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

// adopt takes over what the registry says, unless something newer is known; home is
// the worker that it names, or nil. fresh says that the caller has just made it that.
// Nothing has reached such a home yet, nor one that this host made its home and then
// forgot, since it wasn't told so. A session without a home comes from elsewhere.
//
// With left its calls wait from here on, until known is called: it may go on there. nil:
// nobody waits.
func (s *session) adopt(record Session, home *member, fresh bool, left Left) (known func()) {
	s.mu.Lock()
	if s.phase != phaseNew && (s.phase != phaseOpen || record.Epoch < s.record.Epoch) {
		s.mu.Unlock()
		return nil
	}
	old, p, tie := s.home, s.pool, record.tie()
	lives := !fresh && home != nil && home.survivor
	s.phase, s.record, s.home, s.unused = phaseOpen, record, home, !lives && (home != nil || record.Home == "")
	s.opened = s.opened || !fresh
	switch {
	case lives:
		s.due = ""
	case s.opened:
		s.due = hookRestore
	default:
		s.due = hookOpen
	}
	if left.Home != "" && home == nil && s.pending == nil {
		known = s.pend()
	}
	s.mu.Unlock()
	p.moveHome(old, home, tie)
	return known
}

// end marks the session as forgotten.
func (s *session) end() {
	s.mu.Lock()
	old, p, tie := s.home, s.pool, s.record.tie()
	s.phase, s.home = phaseClosed, nil
	s.mu.Unlock()
	p.moveHome(old, nil, tie)
}

// setEnding says whether this host is ending the session.
func (s *session) setEnding(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = on
}

// moveHome counts a session on another worker; nil stands for none.
func (p *pool) moveHome(from, to *member, t tie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from.countSession(-1, t)
	to.countSession(1, t)
}

// tie is how a session is bound to its home.
type tie struct {
	strict bool // it's served nowhere else
	leased bool // and not without a lease either
}

func (s Session) tie() tie {
	strict := s.Affinity.strict() != ""
	return tie{strict, strict && !s.local()}
}

func (m *member) countSession(n int, t tie) {
	if m == nil {
		return
	}
	if m.sessions += n; m.sessions == 0 && m.guest {
		m.pool.poke()
	}
	if t.strict {
		m.strict += n
	}
	if t.leased {
		m.leased += n
		m.hold()
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
	phase   phase
	record  Session
	home    *member
	unused  bool
	due     string
	pending <-chan struct{}
}

func (s *session) state() standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return standing{s.phase, s.record, s.home, s.unused, s.due, s.pending}
}

// renew takes over a record that differs in its epoch alone.
func (s *session) renew(record Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseOpen {
		s.record = record
	}
}

// move lets one call at a time look for a new home, or see to its hook with what it was
// granted: it gets a function to call when it's done, the others what to wait for.
func (s *session) move(g *grant) (done func(), wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moving != nil {
		return nil, s.moving
	}
	moving := make(chan struct{})
	s.moving, s.mover = moving, g
	return func() {
		s.mu.Lock()
		s.moving, s.mover = nil, nil
		s.mu.Unlock()
		close(moving)
	}, nil
}

// movedWithin reports whether a call is nested in the hook that is under way.
func (s *session) movedWithin(line *lineage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; line != nil; line = line.parent {
		if s.mover != nil && line.grant == s.mover {
			return true
		}
	}
	return false
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
