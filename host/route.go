package host

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// routes is how calls find the node that runs them, where there are several.
type routes struct {
	host   *Host
	owners OwnerRegistry
	tools  ToolRegistry // nil: nobody knows what the other nodes offer
	peers  Peers
	turn   atomic.Uint64 // of those that offer the same
	handed atomic.Uint64 // calls that other nodes have started

	mu   sync.Mutex    // guards news
	news chan struct{} // closed and renewed when this node owns other sessions than before
}

// newRoutes returns nil where there is one node.
func newRoutes(h *Host) *routes {
	owners, ok := h.cfg.Registry.(OwnerRegistry)
	if !ok || h.cfg.Peers == nil {
		return nil
	}
	tools, _ := h.cfg.Registry.(ToolRegistry)
	return &routes{host: h, owners: owners, tools: tools, peers: h.cfg.Peers, news: make(chan struct{})}
}

func (r *routes) forwarded() uint64 {
	if r == nil {
		return 0
	}
	return r.handed.Load()
}

// open runs a call where it belongs, and waits while that is nowhere.
func (r *routes) open(ctx context.Context, c *Call, nested bool) error {
	if !c.req.Input {
		c.again = func(wait context.Context) error { return r.openAgain(wait, ctx, c) }
	}
	return r.seek(ctx, ctx, c, nested)
}

// openAgain makes another attempt, for a caller who waits no longer than either
// context lasts.
func (r *routes) openAgain(wait, ctx context.Context, c *Call) error {
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(wait, func() { cancel(context.Cause(wait)) })()
	return r.seek(both, ctx, c, true)
}

// seek tries until a node has started the call, or it's known that none will.
func (r *routes) seek(wait, ctx context.Context, c *Call, accepted bool) error {
	for {
		node, err := r.try(wait, ctx, c, accepted)
		if err == nil {
			return nil
		}
		if !c.goesOn(node, err) {
			return c.inAll(err)
		}
		if !r.pause(wait, c) {
			return c.inAll(r.inVain(wait, c, node, err))
		}
	}
}

// inAll is an error of the last attempt as one of the call: an earlier one may have run.
func (c *Call) inAll(err error) error {
	if c.tries.reruns == 0 || errdefs.MayHaveRun(err) {
		return err
	}
	e := *errdefs.Of(err)
	e.MayHaveRun = true
	return &e
}

// try gives the call to whoever owns its session, and one without to who has its tool.
// node is whom it was given to; empty: nobody but this one.
func (r *routes) try(wait, ctx context.Context, c *Call, accepted bool) (node string, err error) {
	if c.req.Session == "" {
		return r.toTool(wait, ctx, c, accepted)
	}
	owner, epoch, err := r.owners.Owner(wait, c.req.Session)
	if err == nil && r.whose(owner) == ours || r.hasHostTool(c.req) {
		return "", r.here(wait, ctx, c, accepted)
	}
	if err != nil {
		if errdefs.ReasonOf(err) == errdefs.SessionNotFound && !c.req.MustExist {
			return r.toTool(wait, ctx, c, accepted)
		}
		return "", err
	}
	if whose := r.whose(owner); whose != theirs {
		return "", whose.refuse(c.req.Session, owner)
	}
	return owner.Node, r.forward(wait, ctx, c, handOff{node: owner.Node, epoch: epoch, pool: c.req.Pool, accepted: accepted})
}

// here runs the call on this node.
func (r *routes) here(wait, ctx context.Context, c *Call, accepted bool) error {
	if c.strayed() {
		return r.forward(wait, ctx, c, handOff{pool: c.req.Pool, accepted: accepted})
	}
	return r.host.openHere(wait, ctx, c, accepted)
}

// strayed reports whether the call was on another node and has no target here. What
// others may read of it can't change any more: here it runs as a call of its own.
func (c *Call) strayed() bool { return !c.aimed() && c.attempt.Load() != nil }

func (r *routes) hasHostTool(q Request) bool { return q.Pool == "" && r.host.tools.find(q.Tool) != nil }

// goesOn reports whether a call that no node has started is to be tried again: it
// hasn't run, or may run twice. node is the one that refused it; empty: this one.
func (c *Call) goesOn(node string, err error) bool {
	if !movedOn(err) && (node == "" || errdefs.ReasonOf(err) != errdefs.Draining) {
		return false
	}
	return !errdefs.MayHaveRun(err) || c.idempotent() && !c.req.Input && c.rerun()
}

// movedOn reports whether err says that a session is elsewhere, or its node.
func movedOn(err error) bool {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest say nothing about where to go
	case errdefs.HostUnreachable, errdefs.SessionMoved, errdefs.Fenced, errdefs.NodeRemoved:
		return true
	}
	return false
}

const (
	lookFirst = 10 * time.Millisecond // before a call looks again for the node that it belongs to
	lookMost  = 100 * time.Millisecond

	// tellBefore is how long before its deadline a call that has looked in vain for long is
	// told so: a caller who has the same deadline wouldn't hear why after it.
	tellBefore = 200 * time.Millisecond
	looksLong  = 12 // about a second
)

// late reports whether it's time to say that the call was in vain.
func (c *Call) late(ctx context.Context) bool {
	end, bounded := ctx.Deadline()
	return bounded && c.tries.looks >= looksLong && time.Until(end) < tellBefore
}

// pause waits a little, or until something has changed, and reports whether it makes
// sense to look again.
func (r *routes) pause(ctx context.Context, c *Call) bool {
	if c.late(ctx) {
		return false
	}
	d := min(lookFirst<<min(c.tries.looks, 8), lookMost)
	c.tries.looks++
	c.tries.offers = 0
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.changed():
		return true
	case <-ctx.Done():
	case <-r.host.stopping:
	}
	return false
}

func (r *routes) changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

// wake makes all who wait for an owner look again.
func (r *routes) wake() {
	if r == nil {
		return
	}
	r.mu.Lock()
	old := r.news
	r.news = make(chan struct{})
	r.mu.Unlock()
	close(old)
}

// inVain is the error of a call whose time was over before any node took it.
func (r *routes) inVain(ctx context.Context, c *Call, node string, last error) error {
	doing := "while no node took the call"
	if c.req.Session != "" {
		doing = "while no node answered for the call's session"
	}
	var e *errdefs.Error
	switch {
	case ctx.Err() != nil:
		e = ended(ctx, doing)
	case c.late(ctx):
		e = errdefs.New(errdefs.Deadline, "the caller's deadline is about to pass %s", doing)
	default:
		return errDraining()
	}
	e.Hint = errdefs.Of(last).Error()
	if node == "" && errdefs.ReasonOf(last) == errdefs.Fenced {
		e.Reason = errdefs.NoQuorum
		e.Hint = "the session goes on once this node reaches a majority of the others again, or they have moved it"
	}
	return e
}
