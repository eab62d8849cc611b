package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// maxAncestors is how long the chain may be of calls that a call from another node is
// nested in.
const maxAncestors = 1024

// OpenForwarded runs a call that another node hands to this one, as Open does; ctx
// carries its deadline, and its end ends the call. It's never handed on.
//
// Errors: session_moved when this node isn't the session's owner, also not half a
// second later where the sender knows a higher epoch; fenced when it has no lease;
// and those of Open. The call hasn't run then.
func (h *Host) OpenForwarded(ctx context.Context, f Forwarded) (*Call, error) {
	ctx = withAncestry(ctx, f.Ancestors)
	c := h.newCall(ctx, f.Request)
	c.id, c.handed = f.ID, true
	ctx, c.deadline, c.cancel = h.bounded(ctx, h.epoch.Add(c.arrived), f.Stream)
	if err := h.openForwarded(ctx, c, f); err != nil {
		e := c.locate(err)
		c.end(e)
		return nil, e
	}
	return c, nil
}

func (h *Host) openForwarded(ctx context.Context, c *Call, f Forwarded) error {
	if err := f.validate(); err != nil {
		return err
	}
	if err := h.routes.admits(ctx, f.Session, f.Epoch); err != nil {
		return err
	}
	return h.openHere(ctx, ctx, c, lineageOf(ctx) != nil)
}

func (f Forwarded) validate() error {
	if err := names.CheckID("call", f.ID); err != nil {
		return err
	}
	if err := checkAncestors(f.Ancestors); err != nil {
		return err
	}
	return f.Request.validate()
}

func checkAncestors(chain []SessionID) error {
	if len(chain) > maxAncestors {
		return errdefs.New(errdefs.CallCycle, "the call is nested in %d sessions' calls; at most %d", len(chain), maxAncestors)
	}
	return nil
}

// Place is where the call runs, for whoever answers the node that handed it over.
func (c *Call) Place() Place {
	a := c.attempt.Load()
	if a.place != nil {
		return *a.place
	}
	p := Place{Node: c.host.cfg.Node, Worker: c.Worker(), Home: a.atHome}
	if a.visit != nil {
		p.Epoch = a.visit.session.state().record.Epoch
	}
	return p
}

// ServePeerTool runs an exposed host tool for a worker of another node. ctx ends with
// the call there; inv.Deadline shortens it. It may run while the host drains: who
// called it holds a slot meanwhile.
//
// Errors: tool_not_found; queue_full; draining; those of the tool.
func (h *Host) ServePeerTool(ctx context.Context, inv Invocation) ([]byte, error) {
	result, err := h.servePeer(ctx, inv)
	if err != nil {
		return nil, locate(err, errdefs.Where{Node: h.cfg.Node, Session: string(inv.Session), Tool: names.Cut(inv.Tool), Call: inv.ID})
	}
	return result, nil
}

func (h *Host) servePeer(ctx context.Context, inv Invocation) ([]byte, error) {
	if err := checkAncestors(inv.Ancestors); err != nil {
		return nil, err
	}
	if err := h.gate.enter(true); err != nil {
		return nil, err
	}
	defer h.gate.leave()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.work.Go(func() { h.endWhenStopping(ctx, cancel) })
	if !inv.Deadline.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadline(ctx, inv.Deadline)
		defer done()
	}
	line := &lineage{session: inv.Session, parent: ancestry(inv.Ancestors)}
	return h.tools.serve(withLineage(ctx, line), inv.Tool, inv.Payload)
}

func (h *Host) endWhenStopping(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-h.stopping:
		cancel(errDraining())
	case <-ctx.Done():
	}
}

// CloseForwarded ends a session of this node for another one.
//
// Errors: session_moved when this node isn't its owner; fenced when it has no lease;
// those of CloseSession.
func (h *Host) CloseForwarded(ctx context.Context, id SessionID) error {
	if err := validateSessionID(id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.CallTimeout)
	defer cancel()
	err := h.routes.admits(ctx, id, 0)
	if err == nil {
		err = h.sessions.close(ctx, id)
	}
	return h.closed(id, err)
}
