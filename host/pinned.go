package host

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// pins are the calls that wait for one worker and no other, and that worker's
// choice between them and those that wait for any. It's there once the first has come.
//
// Of one class, each takes turns: as many pinned calls as their flows weigh together,
// then as many of the others as theirs weigh for each worker. So in a pool of one
// worker all flows share alike, and in a larger one neither kind waits for more than
// a round of the other. Of different classes the higher goes first, but for one in
// yieldAtMost.
type pins struct {
	queue  queue
	mine   int // pinned calls that are left of this turn
	theirs int // others that are
	passed int // over 0: how many others were passed over because of their class; under 0: pinned ones
}

// pin gives the queue of those that wait for m alone.
func (m *member) pin() *queue {
	if m.pins == nil {
		m.pins = &pins{}
	}
	return &m.pins.queue
}

func (n *pins) nested() bool { return n != nil && n.queue.nested() }

// preferred reports whether a pinned call is next, rather than one of the shared
// queue of a pool with that many workers.
func (n *pins) preferred(shared *queue, workers int) bool {
	if n == nil || n.queue.count == 0 {
		return false
	}
	if shared.count == 0 {
		return true
	}
	own, other := n.queue.next(), shared.next()
	if own != other {
		return n.byClass(own < other)
	}
	if n.mine == 0 && n.theirs == 0 {
		workers = max(workers, 1)
		n.mine, n.theirs = n.queue.weight(own), (shared.weight(other)+workers-1)/workers
	}
	if n.mine > 0 {
		n.mine--
		return true
	}
	n.theirs--
	return false
}

// byClass chooses the higher class, unless the other has been passed over often enough.
func (n *pins) byClass(pinned bool) bool {
	step := -1
	if pinned {
		step = 1
	}
	if n.passed*step < 0 {
		n.passed = 0 // it was the other's turn
	}
	if n.passed += step; n.passed*step > yieldAtMost {
		n.passed = 0
		return !pinned
	}
	return pinned
}

// lastPinned takes out a call that waits for a draining worker and no other: those
// that came before are still served by it.
func (m *member) lastPinned() *waiter {
	if m.pins == nil || m.busy >= m.slots {
		return nil
	}
	return m.pins.queue.pop()
}

// unpin turns away those who wait for a worker that is gone.
func (p *pool) unpin(m *member, out *answers) {
	if m.pins != nil {
		p.turnAway(&m.pins.queue, func(w *waiter) error { return sessionWorkerUnavailable(w.ticket.session) }, out)
	}
}

// pinned counts the sessions that can be served by this worker alone: they are lost
// with it. The pool's mutex is held.
func (m *member) pinned() int { return m.strict } //nolint:unused // for whoever chooses a worker to stop

func workerBusy(id WorkerID) error {
	return errdefs.New(errdefs.WorkerBusy, "worker %s, its session's home, is busy", id)
}

func sessionWorkerUnavailable(id SessionID) error {
	e := errdefs.New(errdefs.SessionWorkerUnavailable, "the worker that session %q is bound to is gone, and what it held in memory with it", names.Cut(string(id)))
	e.Hint = "close the session, or go on under a new id"
	return e
}
