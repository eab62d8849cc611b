package host

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// Call is one run of a tool. Recv is called by one goroutine at a time, and so are
// Send and CloseSend together; the rest by any.
type Call struct {
	host     *Host
	id       string
	req      Request
	target   target
	deadline time.Time
	unasked  bool // the deadline is call_timeout's or stream_timeout's
	handed   bool // another node has handed it over: it isn't handed on
	spilled  bool // it went to another node because too many wait here
	cancel   context.CancelFunc
	attempt  atomic.Pointer[attempt]
	arrived  time.Duration // on the host's clock
	began    time.Duration // its first start on a worker; zero: none yet

	ended atomic.Bool
	err   error                           // what Recv gives after the end; only Recv's goroutine touches it
	again func(ctx context.Context) error // gives the call to a worker once more; nil once it has given anything
	tries tries                           // Open's and Recv's
	probe atomic.Uint64                   // the breaker's round; zero: none
}

// attempt is one try to run a call: what it occupies, until its run is done.
type attempt struct {
	call     *Call
	run      Running
	grant    *grant // nil for a host tool, and on another node
	place    *Place // where it is on another node; nil: it's here
	began    time.Duration
	visit    *visit
	atHome   bool
	over     func() // called once it's over; nil: nothing
	released atomic.Bool
}

// ID names the call in logs and errors.
func (c *Call) ID() string { return c.id }

// Tool is what the call runs.
func (c *Call) Tool() Tool { return *c.target.tool }

// Pool is the pool whose tool the call runs; empty for a host tool.
func (c *Call) Pool() string {
	if c.target.pool == nil {
		return ""
	}
	return c.target.pool.name
}

// Worker is the worker that runs the call; empty for a host tool.
func (c *Call) Worker() WorkerID {
	a := c.attempt.Load()
	switch {
	case a.grant != nil:
		return a.grant.member.id
	case a.place != nil:
		return a.place.Worker
	}
	return ""
}

// Home reports whether the call runs on its session's home, the worker that holds
// what the session keeps in memory. A call without a session is always at home.
func (c *Call) Home() bool { return c.attempt.Load().atHome }

// Recv blocks until the next message: progress and chunks, then the result, with
// Last set. When ctx ends first, or the call's own context, the call is
// cancelled. After the end it gives the error once more, or io.EOF.
func (c *Call) Recv(ctx context.Context) (Message, error) {
	if c.err != nil {
		return Message{}, c.err
	}
	for {
		a := c.attempt.Load()
		m, err := a.run.Recv(ctx)
		if err == nil && !m.Last {
			c.again = nil
			c.gave(m)
			return m, nil
		}
		if err != nil {
			a.mourn(err)
			if err = a.blame(err); c.retry(ctx, a, err) {
				a.fail(err)
				continue
			}
			err = c.failure(ctx, c.disowned(ctx, err))
			a.run.Cancel(err)
		}
		c.gave(m)
		c.end(err)
		a.releaseIfDone()
		return m, err
	}
}

// failure makes the error complete: which layer's time ran out, where it was,
// and that the tool may have run.
func (c *Call) failure(ctx context.Context, err error) error {
	var own *errdefs.Error
	if fromContext(err) && !errors.As(err, &own) {
		err = ended(ctx, "while the tool ran")
	}
	e := c.locate(err)
	if fromContext(e) {
		e.MayHaveRun = true
	}
	if c.unasked && e.Reason == errdefs.Deadline && e.Hint == "" {
		e.Hint = "the call has no deadline of its own, so " + c.host.of(c.req.Stream).name + " was its"
	}
	return e
}

func (c *Call) locate(err error) *errdefs.Error {
	w := errdefs.Where{Node: c.host.cfg.Node, Pool: c.req.Pool, Session: string(c.req.Session), Tool: names.Cut(c.req.Tool), Call: c.id}
	if c.target.pool != nil {
		w.Pool = c.target.pool.name
	}
	if a := c.attempt.Load(); a != nil {
		w.Worker = string(c.Worker())
		w.Node = a.node(w.Node)
	}
	return locate(err, w)
}

// end is what happens once, whoever ends the call: it's counted, and its context
// and timer are given back.
func (c *Call) end(err error) {
	if c.err = err; err == nil {
		c.err = io.EOF
	}
	c.count(err)
	c.cancel()
}

func (c *Call) count(err error) {
	if c.ended.Swap(true) {
		return
	}
	if p := c.target.pool; p != nil {
		p.tally.end(c, c.host.clock(), err)
	} else if err != nil && !c.attempt.Load().away() {
		c.host.refused.add(errdefs.ReasonOf(err))
	}
	if err != nil {
		c.attempt.Load().fail(err)
	}
}

// Send hands one chunk to a tool that takes them, and blocks while the tool
// doesn't read. It fails with invalid_arguments when the request didn't say Input,
// and once the call has ended.
func (c *Call) Send(ctx context.Context, payload []byte) error {
	if !c.req.Input {
		return c.locate(errNoInput())
	}
	if err := c.target.checkPayload(payload); err != nil {
		return c.locate(err)
	}
	if err := c.attempt.Load().run.Send(ctx, payload); err != nil {
		return c.failure(ctx, err)
	}
	c.took(payload)
	return nil
}

// CloseSend says that no more chunks come.
func (c *Call) CloseSend() error {
	if !c.req.Input {
		return nil
	}
	if err := c.attempt.Load().run.CloseSend(); err != nil {
		return c.locate(err)
	}
	return nil
}

// aimed reports whether it's known what the call runs on this node.
func (c *Call) aimed() bool { return c.target.pool != nil || c.target.host != nil }

// Close cancels the call when it hasn't ended, and doesn't wait for it: the slot
// stays taken until the tool has stopped. It may be called any number of times.
func (c *Call) Close() {
	cause := errdefs.New(errdefs.Cancelled, "the caller left")
	cause.MayHaveRun = true
	c.leave(cause)
}

func (c *Call) leave(cause *errdefs.Error) {
	if c.ended.Load() {
		return
	}
	cause = c.locate(cause)
	c.count(cause)
	c.attempt.Load().run.Cancel(cause)
	c.cancel()
}

func errNoInput() error {
	return errdefs.New(errdefs.InvalidArguments, "the call takes no chunks")
}

// watch holds what the attempt occupies until its run is done, and sees to it
// that this happens soon after ctx ends.
func (a *attempt) watch(ctx context.Context) {
	defer a.release()
	select {
	case <-a.run.Done():
		return
	case <-ctx.Done():
		a.cancel(ended(ctx, "while the tool ran"))
	case <-a.call.host.stopping:
		a.cancel(errDraining())
	}
	if a.grant != nil {
		a.reclaim(ctx)
	}
	<-a.run.Done()
}

func (a *attempt) cancel(cause *errdefs.Error) {
	e := a.call.locate(cause)
	e.MayHaveRun = true
	a.run.Cancel(e)
}

// reclaim kills the worker of a cancelled tool that goes on beyond the grace: a
// tool stuck in C must not hold its slot for ever.
func (a *attempt) reclaim(ctx context.Context) {
	if !a.begins() {
		return
	}
	p := a.grant.member.pool
	grace := time.NewTimer(p.cfg().CancelGrace)
	defer grace.Stop()
	for {
		select {
		case <-a.run.Done():
			return
		case <-grace.C:
		}
		if !paused(ctx, a.grant.worker) {
			break
		}
		grace.Reset(p.cfg().CancelGrace) // it can't obey, and whoever stopped it also sees to its end
	}
	cause := errdefs.New(errdefs.WorkerHung, "tool %s went on for %s after its cancel", a.call.req.Tool, p.cfg().CancelGrace)
	p.evict(ctx, a, a.call.locate(cause))
}

// begins waits until a call that waits in its worker has a slot there, and reports
// whether it ever had: a cancel's grace doesn't count before.
func (a *attempt) begins() bool {
	if a.grant.begun == nil {
		return true
	}
	select {
	case <-a.grant.begun:
		return true
	case <-a.run.Done():
		return false
	}
}

// releaseIfDone saves the next call in line the way through watch's goroutine.
func (a *attempt) releaseIfDone() {
	select {
	case <-a.run.Done():
		a.release()
	default:
	}
}

// release frees the slot, passes the session's turn on, and leaves the gate, once.
func (a *attempt) release() {
	if a.released.Swap(true) {
		return
	}
	if a.grant != nil {
		a.judge()
		a.left()
		a.grant.member.pool.release(a.grant)
	}
	if a.over != nil {
		a.over()
	}
	a.visit.leave()
	a.call.host.gate.leave()
}
