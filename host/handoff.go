package host

import (
	"cmp"
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// handOff is where a call is handed to.
type handOff struct {
	node     string // empty: this one, as if another had handed it over
	epoch    uint64 // the session's; zero: none
	pool     string
	accepted bool // it may begin while the host drains
}

// forward hands a call to another node, and returns once that one has started it.
// wait bounds that, ctx the whole call.
func (r *routes) forward(wait, ctx context.Context, c *Call, to handOff) error {
	h := r.host
	if err := h.gate.enter(to.accepted); err != nil {
		return err
	}
	if c.target.tool == nil {
		c.target.tool = r.toolOf(c.req.Tool, to.pool)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	v := r.keepVigil(ctx, cancel, c.req.Session, to.node)
	a, err := r.handOver(wait, ctx, cancel, c, to)
	if err != nil {
		v.end()
		cancel(nil)
		h.gate.leave()
		return err
	}
	r.handed.Add(1)
	c.attempt.Store(a)
	h.work.Go(func() { defer v.end(); a.watch(ctx) })
	return nil
}

func (r *routes) handOver(wait, ctx context.Context, cancel context.CancelCauseFunc, c *Call, to handOff) (*attempt, error) {
	f := Forwarded{Request: c.req, ID: c.id, From: r.host.cfg.Node, Epoch: to.epoch, Ancestors: lineageOf(ctx).ancestors()}
	f.Pool = to.pool
	stop := context.AfterFunc(wait, func() { cancel(context.Cause(wait)) })
	run, place, err := r.start(ctx, to.node, f)
	if !stop() && err == nil {
		e := ended(wait, "while node "+to.node+" started the call")
		e.MayHaveRun = true
		run.Cancel(e)
		err = e
	}
	if err != nil {
		return nil, handedBack(wait, ctx, to.node, err)
	}
	place.Node = cmp.Or(to.node, place.Node)
	return &attempt{call: c, run: run, place: &place, atHome: place.Home || c.req.Session == ""}, nil
}

func (r *routes) start(ctx context.Context, node string, f Forwarded) (Running, Place, error) {
	if node == "" {
		return r.host.lodge(ctx, f)
	}
	return r.peers.Open(ctx, node, f)
}

// handedBack is the error of a call that a node didn't start; it says whether it may
// have run there.
func handedBack(wait, ctx context.Context, node string, err error) error {
	if ctx.Err() != nil && fromContext(err) {
		why := ctx
		if wait.Err() != nil {
			why = wait
		}
		e := ended(why, "while the call was handed to node "+node)
		e.MayHaveRun = errdefs.MayHaveRun(err)
		err = e
	}
	return locate(err, errdefs.Where{Node: node})
}

// away reports whether the attempt was made on another node.
func (a *attempt) away() bool { return a != nil && a.place != nil }

// node is the one that the attempt was made on, here being this one.
func (a *attempt) node(here string) string {
	if a.away() {
		return a.place.Node
	}
	return here
}
