package host

import (
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// ticket is a call's place among those that wait in a pool, for their session's
// turn or for a slot: queue_size bounds the tickets, queue_timeout the time. A
// call that needn't wait takes none.
type ticket struct {
	pool  *pool
	flow  flowKey // whose line it stands in
	class class
	call  string // the call's id
	line  *lineage
	// session and affinity are what the call asks for; empty: nothing.
	session  SessionID
	affinity Affinity

	left <-chan struct{} // closed when the session isn't this node's any more; nil: it has none

	held bool // guarded by the pool's mutex
	// served: the call has had its turn, on a worker that was dead already. It
	// doesn't queue at the end again.
	served bool
	timer  *time.Timer
}

// newTicket is the ticket of a call to p that is nested in line.
func newTicket(p *pool, id string, r Request, line *lineage) *ticket {
	return &ticket{
		pool: p, flow: flowOf(r), class: classOf(r.Priority, line != nil), call: id, line: line, session: r.Session, affinity: r.Affinity,
	}
}

// take counts the call as waiting; the pool's mutex is held.
func (t *ticket) take() error {
	if t.held {
		return nil
	}
	if t.pool.waiting >= t.pool.cfg().QueueSize {
		return errdefs.New(errdefs.QueueFull, "%d calls wait for pool %s already", t.pool.waiting, t.pool.name)
	}
	t.held = true
	t.pool.waiting++
	return nil
}

// drop gives the place back; the pool's mutex is held.
func (t *ticket) drop() {
	if t.held {
		t.held = false
		t.pool.waiting--
	}
}

// wait is take for those who don't hold the mutex.
func (t *ticket) wait() error {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	return t.take()
}

// expired is the queue's timeout, which runs from the first time it's asked for.
func (t *ticket) expired() <-chan time.Time {
	if t.timer == nil {
		t.timer = time.NewTimer(t.pool.cfg().QueueTimeout)
	}
	return t.timer.C
}

// renew lets the time run anew, after it has run out.
func (t *ticket) renew() { t.timer.Reset(t.pool.cfg().QueueTimeout) }

// close ends the waiting, however it went.
func (t *ticket) close() {
	if t.timer == nil {
		return
	}
	t.timer.Stop()
	t.pool.mu.Lock()
	t.drop()
	t.pool.mu.Unlock()
}
