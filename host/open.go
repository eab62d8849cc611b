package host

import (
	"context"
	"errors"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Open puts a call on a worker. It blocks until it's there: while the pool starts,
// while earlier calls of its session run, and while no worker is free, but never
// longer than queue_timeout for the latter two. ctx bounds the whole call, not
// only Open: when it ends, so does the call. Without a deadline in ctx the host's
// call_timeout applies, or its stream_timeout. Read the call to its end, or close it.
//
// Errors: queue_full, queue_timeout, no_workers, pool_not_found, tool_not_found,
// invalid_tool_name, invalid_arguments, payload_too_large, session_not_found,
// session_expired, session_quota, call_cycle, pool_starting, start_failed,
// circuit_open, draining, deadline, cancelled, and the registry's. The call hasn't run then.
//
// Among several nodes a call of a session goes to the one that owns it, and waits
// while none does; one without goes where its tool is. Then the errors may be those of
// the other node as well, and no_quorum when the call's time is over before this node
// has a lease again; one that the other node never answered may have run.
func (h *Host) Open(ctx context.Context, req Request) (*Call, error) {
	c := h.newCall(ctx, req)
	c.id = h.newCallID()
	ctx, c.deadline, c.cancel = h.bounded(ctx, h.epoch.Add(c.arrived), req.Stream) // by the same clock: it needn't be read twice
	if err := h.open(ctx, c); err != nil {
		e := c.locate(err)
		c.end(e)
		return nil, e
	}
	return c, nil
}

func (h *Host) newCall(ctx context.Context, req Request) *Call {
	c := &Call{host: h, req: req, arrived: h.clock()}
	_, theirs := ctx.Deadline()
	c.unasked = !theirs
	return c
}

func (h *Host) open(ctx context.Context, c *Call) error {
	if err := c.req.validate(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ended(ctx, "before the call reached the host")
	}
	nested := lineageOf(ctx) != nil
	if h.routes != nil {
		return h.routes.open(ctx, c, nested)
	}
	return h.openHere(ctx, ctx, c, nested)
}

// openHere runs a call on this node; wait bounds the time until a worker has it, ctx
// the whole call. accepted: it may begin while the host drains.
func (h *Host) openHere(wait, ctx context.Context, c *Call, accepted bool) error {
	if err := c.aim(wait); err != nil {
		return err
	}
	if c.target.pool == nil {
		c.again = nil // a host tool runs once
		return h.begin(wait, ctx, c, accepted)
	}
	if c.attempt.Load() != nil { // a further attempt, which the breaker needn't let through once more
		return h.begin(wait, ctx, c, accepted)
	}
	probe, err := c.target.pool.breaker.admit(time.Now())
	if err != nil {
		return err
	}
	c.probe.Store(probe)
	if !c.req.Input && c.again == nil {
		c.again = func(wait context.Context) error { return h.beginAgain(wait, ctx, c) }
	}
	if err = h.begin(wait, ctx, c, accepted); err != nil {
		c.target.pool.breaker.giveBack(c.probe.Swap(0))
	}
	return err
}

// aim finds what the call runs here, and counts it, once.
func (c *Call) aim(ctx context.Context) error {
	if c.aimed() {
		return nil
	}
	t, err := c.host.resolve(ctx, c.req)
	if err != nil {
		return err
	}
	c.target = t
	c.arrive()
	return c.target.check(c.req)
}

// check refuses what the tool can't take.
func (t target) check(r Request) error {
	if r.Input && t.tool.InputStream == "" {
		return errdefs.New(errdefs.InvalidArguments, "tool %s takes no chunks", r.Tool)
	}
	return t.checkPayload(r.Payload)
}

func (t target) checkPayload(payload []byte) error {
	limit := int64(defaultMaxPayload)
	if t.pool != nil {
		limit = t.pool.cfg().Settings.MaxPayload
	}
	if size := int64(len(payload)); size > limit {
		return errdefs.New(errdefs.PayloadTooLarge, "%d bytes; at most %d", size, limit)
	}
	return nil
}

// begin makes an attempt; wait bounds the time until a worker has it, ctx the whole
// call. accepted: it may begin while the host drains. From its success on, watch sees
// to its end.
func (h *Host) begin(wait, ctx context.Context, c *Call, accepted bool) error {
	if err := h.gate.enter(accepted); err != nil {
		return err
	}
	a, err := h.try(wait, c)
	switch {
	case a == nil:
		h.gate.leave()
		return err
	case err == nil:
		c.attempt.Store(a)
	}
	h.work.Go(func() { a.watch(ctx) })
	return err
}

// beginAgain makes another attempt, for a caller who waits no longer than either
// context lasts.
func (h *Host) beginAgain(wait, ctx context.Context, c *Call) error {
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(wait, func() { cancel(context.Cause(wait)) })()
	return h.begin(both, ctx, c, true)
}

func (h *Host) try(ctx context.Context, c *Call) (*attempt, error) {
	if c.target.host != nil {
		return h.runLocal(ctx, c), nil
	}
	line := lineageOf(ctx)
	if line.has(c.req.Session) && !h.sessions.concurrent(c.req.Session) {
		return nil, ownAncestor()
	}
	t := newTicket(c.target.pool, c.id, c.req, line)
	defer t.close()
	v, err := h.sessions.enter(ctx, &c.req, c.target.pool, t)
	if err != nil {
		c.target.pool.tellIfFull(err)
		return nil, err
	}
	a, err := c.place(ctx, v, t)
	if a == nil {
		v.leave()
	}
	return a, err
}

// place finds a worker and starts the call on it; an attempt along with an error is a
// hook of its session that doesn't stop. What never reached the worker, since
// that one was dead already, is offered to another.
func (c *Call) place(ctx context.Context, v *visit, t *ticket) (*attempt, error) {
	for {
		g, err := c.target.pool.checkout(ctx, v.wish(), t)
		if err != nil {
			return nil, err
		}
		a, err := c.offer(ctx, v, g)
		if a != nil {
			return a, err
		}
		v.alight()
		c.target.pool.release(g)
		t.served = true
		if errors.Is(err, errElsewhere) && c.mayOffer() {
			continue
		}
		if !neverReached(err) || !c.pause(ctx, g.member.id, err, c.tries.offers == 1) {
			return nil, err
		}
	}
}

// offer gives the call to a worker, unless the breaker has opened while it waited.
func (c *Call) offer(ctx context.Context, v *visit, g *grant) (*attempt, error) {
	if err := c.target.pool.breaker.refuses(time.Now(), c.probe.Load()); err != nil {
		return nil, err
	}
	c.tries.offers++
	return c.startOn(ctx, v, g)
}

func (c *Call) startOn(ctx context.Context, v *visit, g *grant) (*attempt, error) {
	atHome, err := v.settle(ctx, g)
	if err != nil {
		return nil, err
	}
	if a, err := c.greet(ctx, v, g); err != nil {
		return a, err
	}
	run, err := g.worker.Start(ctx, c.invocation(v, atHome))
	if err != nil {
		return nil, c.notStarted(ctx, g, err)
	}
	v.reached(atHome)
	a := &attempt{call: c, run: run, grant: g, visit: v, atHome: atHome}
	a.begin()
	return a, nil
}

// notStarted says which worker it was, and has it killed when it's no use any
// more: its lane may be gone while its process lives.
func (c *Call) notStarted(ctx context.Context, g *grant, err error) error {
	if fromContext(err) {
		return ended(ctx, "while the call was handed to its worker")
	}
	e := locate(err, errdefs.Where{Worker: string(g.member.id)})
	if e.Reason == errdefs.WorkerCrashed {
		g.member.pool.crashed(g.member, e)
		g.member.pool.kill(ctx, g, e)
	}
	return e
}

func (c *Call) invocation(v *visit, atHome bool) Invocation {
	r := c.req
	inv := Invocation{
		ID: c.id, Tool: r.Tool, Payload: r.Payload, Session: r.Session, Deadline: c.deadline,
		Stream: r.Stream, Input: r.Input, Metadata: r.Metadata,
	}
	if v != nil {
		inv.Epoch, inv.Away, inv.Local = v.epoch, !atHome, v.local
	}
	return inv
}

// runLocal runs a host tool for a Go caller.
func (h *Host) runLocal(ctx context.Context, c *Call) *attempt {
	ctx = withLineage(ctx, &lineage{parent: lineageOf(ctx)})
	ctx, stop := context.WithCancelCause(ctx)
	run := newLocalRun(stop)
	h.work.Go(func() { run.finish(h.tools.run(ctx, c.target.host, c.req.Payload)) })
	return &attempt{call: c, run: run, atHome: true}
}
