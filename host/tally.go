package host

import (
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// tally is what a pool counts of its calls: each once, whatever it went through. A
// call that's tried on three workers is one call here and one at each of them.
// Nothing in it takes a lock or allocates.
type tally struct {
	received atomic.Uint64 // calls that found the pool
	calls    atomic.Uint64 // of those, the ones that were started on a worker
	ok       atomic.Uint64 // ended with a result
	fails    failures      // ended with an error
	retried  atomic.Uint64 // starts beyond a call's first
	bytesIn  atomic.Uint64 // arguments and chunks from callers
	bytesOut atomic.Uint64 // chunks and results to them
	queue    histogram     // from a call's arrival until it was started, or gave up waiting
	run      histogram     // from its first start until its caller had the answer
	recycled recycled
}

func newTally() *tally { return &tally{fails: newFailures()} }

// begin is the first start of a call on a worker.
func (t *tally) begin(waited time.Duration) {
	t.calls.Add(1)
	t.queue.observe(waited)
}

// end is the end of a call, whether it was ever started or not.
func (t *tally) end(c *Call, now time.Duration, err error) {
	if c.began != 0 {
		t.run.observe(now - c.began)
	}
	if err == nil {
		t.ok.Add(1)
		return
	}
	reason := errdefs.ReasonOf(err)
	if c.began == 0 && gaveUp(reason) {
		t.queue.observe(now - c.arrived)
	}
	t.fails.add(reason)
}

// gaveUp tells the calls that waited in vain from those that were refused at once,
// whose zeros would make a full queue look fast.
func gaveUp(r errdefs.Reason) bool {
	switch r { //nolint:exhaustive // the rest are refusals
	case errdefs.QueueTimeout, errdefs.NoWorkers, errdefs.Deadline, errdefs.Cancelled:
		return true
	}
	return false
}

// stint is how the calls of one worker went.
type stint struct {
	fails     atomic.Uint64                  // calls that ended with an error
	lastError atomic.Pointer[errdefs.Reason] // nil: none yet
	ran       atomic.Int64                   // nanoseconds in which its slots were taken, those of running calls not included
}

func (s *stint) fail(r errdefs.Reason) {
	s.fails.Add(1)
	s.lastError.Store(&r)
}

func (s *stint) lastReason() errdefs.Reason {
	if r := s.lastError.Load(); r != nil {
		return *r
	}
	return ""
}

// clock is the time on the host's own clock, and never zero: reading it costs half
// of what a date costs.
func (h *Host) clock() time.Duration { return time.Since(h.epoch) }

// arrive counts a call that has found its pool.
func (c *Call) arrive() {
	if p := c.target.pool; p != nil {
		p.tally.received.Add(1)
		c.took(c.req.Payload)
	}
}

// begin counts an attempt at its worker, and the first of a call at its pool.
func (a *attempt) begin() {
	c := a.call
	a.began = c.host.clock()
	a.grant.member.calls.Add(1)
	if c.began == 0 {
		c.began = a.began
		c.target.pool.tally.begin(a.began - c.arrived)
	} else {
		c.target.pool.tally.retried.Add(1)
	}
}

// fail counts an attempt's error at its worker.
func (a *attempt) fail(err error) {
	if a != nil && a.grant != nil {
		a.grant.member.stint.fail(errdefs.ReasonOf(err))
	}
}

// left counts the time that an attempt had a slot.
func (a *attempt) left() {
	from := a.began
	if at, waited := a.grant.slotAt(); waited {
		if at.IsZero() {
			return // it never had one
		}
		from = max(from, at.Sub(a.call.host.epoch))
	}
	a.grant.member.stint.ran.Add(int64(a.call.host.clock() - from))
}

// took counts what the caller sent.
func (c *Call) took(payload []byte) {
	if p := c.target.pool; p != nil && len(payload) > 0 {
		p.tally.bytesIn.Add(uint64(len(payload)))
	}
}

// gave counts what the caller got.
func (c *Call) gave(m Message) {
	if p := c.target.pool; p != nil && len(m.Payload) > 0 {
		p.tally.bytesOut.Add(uint64(len(m.Payload)))
	}
}
