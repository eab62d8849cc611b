package host

import (
	"slices"
	"sync/atomic"
	"time"
)

// WorkerState is how far a worker has come. It only ever goes forward: a dead
// worker is replaced, never revived.
type WorkerState string

// The states of a worker.
const (
	WorkerStarting WorkerState = "starting" // launched; takes no calls yet
	WorkerReady    WorkerState = "ready"    // takes calls
	WorkerDraining WorkerState = "draining" // takes no more; those that it has may end
	WorkerStopping WorkerState = "stopping" // is being ended; its process still lives
	WorkerDead     WorkerState = "dead"     // its process is gone
)

// next says which states may follow s.
func (s WorkerState) next() []WorkerState {
	switch s {
	case WorkerStarting:
		return []WorkerState{WorkerReady, WorkerDead}
	case WorkerReady:
		return []WorkerState{WorkerDraining, WorkerStopping, WorkerDead}
	case WorkerDraining:
		return []WorkerState{WorkerStopping, WorkerDead}
	case WorkerStopping:
		return []WorkerState{WorkerDead}
	case WorkerDead:
		return nil
	}
	return nil
}

// member is one worker in its pool. The pool's mutex guards everything but what
// never changes (id, pool, seat, launched) and what is atomic. What a decision reads
// stands first, in two cache lines: a large pool's workers aren't in the cache.
type member struct {
	state   WorkerState
	slots   int
	busy    int             // calls that were granted: those that run, and those behind them
	done    <-chan struct{} // the worker's
	pins    *pins           // nil: no call has waited for this worker alone
	worker  Worker          // nil before it's ready and once it's dead
	running fifo[*grant]
	behind  fifo[*grant]  // calls beyond its slots, which wait in the worker
	stuck   int           // running calls that have calls of their own among the pinned
	free    link[*member] // in one of the pool's lists, by its room
	calls   atomic.Uint64
	stint   stint

	id       WorkerID
	pool     *pool
	seat     int
	launched time.Time
	counted  atomic.Bool             // the breaker knows of its crash
	tainted  atomic.Bool             // its seat stays empty for Barrier.Taint
	evictor  atomic.Pointer[evictor] // nil: every call on it stops
	unfit    chan struct{}           // closed when it's tainted while it lives
	process  Process
	sessions int           // whose home it is
	strict   int           // those of them that can't be served elsewhere
	leased   int           // those of these that need a lease
	held     bool          // it's pinned because of those
	hooks    []string      // that its adapter has
	survivor bool          // another host started it
	guest    bool          // that one was a neighbour: it's here for its sessions alone
	deaf     int           // slots of calls that don't stop
	quiet    chan struct{} // closed when no slot is taken but those; nil until somebody wants to know
	isQuiet  bool          // it's closed
	serves   bool          // while it drains, those that wait for it alone

	age      age    // when its time is over
	maxCalls uint64 // after which the steward is told; zero: no more
}

func newMember(p *pool, seat int, id WorkerID) *member {
	m := &member{id: id, pool: p, seat: seat, launched: time.Now(), state: WorkerStarting, unfit: make(chan struct{})}
	m.free.value = m
	return m
}

// transition moves to a state and reports whether that's allowed; if it isn't,
// nothing changes: somebody else was faster.
func (m *member) transition(to WorkerState) bool {
	if !slices.Contains(m.state.next(), to) {
		return false
	}
	m.state = to
	return true
}

// available reports whether a call can be granted a slot.
func (m *member) available() bool {
	return m.state == WorkerReady && m.busy < m.slots
}

// enter counts a call that was granted one of the worker's slots.
func (m *member) enter() {
	m.busy++
	m.pool.usage.enter()
}

// wear tells the steward of a worker that has run its calls. It's a comparison: it
// runs with every call.
func (m *member) wear() {
	if m.maxCalls > 0 && m.calls.Load() >= m.maxCalls {
		m.maxCalls = 0
		m.age.worn = true
		m.pool.poke()
	}
}

// ended reports whether the process of a worker in service is gone, which its
// seat may not have noticed yet: a dead worker's calls end first.
func (m *member) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// gone reports whether the worker will never take a call again.
func (m *member) gone() bool {
	return m.state == WorkerDraining || m.state == WorkerStopping || m.state == WorkerDead
}
