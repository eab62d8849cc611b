package hosttest

import (
	"context"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// way is how a node is reached by the others.
type way struct {
	mu     sync.Mutex // guards all below
	closed bool
	asked  int // calls that others wanted to hand over
	delay  time.Duration
	cut    chan struct{} // closed and renewed when all that is under way is lost
	flows  chan struct{} // closed while messages come through
}

func newWay() *way {
	flows := make(chan struct{})
	close(flows)
	return &way{cut: make(chan struct{}), flows: flows}
}

// SetReachable says whether other nodes reach this one. Calls that are there go on.
func (n *Node) SetReachable(on bool) {
	n.way.mu.Lock()
	defer n.way.mu.Unlock()
	n.way.closed = !on
}

// Asked says how many calls other nodes have tried to hand to this one.
func (n *Node) Asked() int {
	n.way.mu.Lock()
	defer n.way.mu.Unlock()
	return n.way.asked
}

func (w *way) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
}

// SetDelay makes everything that comes to the node, or from it, take that long.
func (n *Node) SetDelay(d time.Duration) {
	n.way.mu.Lock()
	defer n.way.mu.Unlock()
	n.way.delay = d
}

// SetHung makes the node neither answer nor break: what comes to it waits, and so does
// what comes from it, until it's taken back.
func (n *Node) SetHung(on bool) {
	n.way.mu.Lock()
	defer n.way.mu.Unlock()
	select {
	case <-n.way.flows:
		if on {
			n.way.flows = make(chan struct{})
		}
	default:
		if !on {
			close(n.way.flows)
		}
	}
}

// Cut loses all calls between the node and others.
func (n *Node) Cut() {
	n.way.mu.Lock()
	defer n.way.mu.Unlock()
	close(n.way.cut)
	n.way.cut = make(chan struct{})
}

func (w *way) state() (closed bool, delay time.Duration, cut, flows <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed, w.delay, w.cut, w.flows
}

// pass lets a message through, and reports whether it came.
func (w *way) pass(ctx context.Context, cut <-chan struct{}) bool {
	_, delay, _, flows := w.state()
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-flows:
		return true
	case <-cut:
	case <-ctx.Done():
	}
	return false
}

func unreachable(node string, ran bool) error {
	e := errdefs.New(errdefs.HostUnreachable, "node %s can't be reached", node)
	e.MayHaveRun = ran
	return e
}

// reach finds a node's engine, as another node would.
func (n *Node) reach(ctx context.Context, id string) (*Node, *host.Host, <-chan struct{}, error) {
	n.cluster.mu.Lock()
	to := n.cluster.nodes[id]
	var engine *host.Host
	if to != nil {
		engine = to.engine
	}
	n.cluster.mu.Unlock()
	if engine == nil {
		return nil, nil, nil, unreachable(id, false)
	}
	closed, _, cut, _ := to.way.state()
	if mine, _, _, _ := n.way.state(); closed || mine {
		return nil, nil, nil, unreachable(id, false)
	}
	if !n.way.pass(ctx, cut) || !to.way.pass(ctx, cut) {
		return nil, nil, nil, orEnded(ctx, unreachable(id, false))
	}
	return to, engine, cut, nil
}

// orEnded is err, or the end of a context where that has ended; the call may have run if
// err says so.
func orEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	e := *errdefs.Of(context.Cause(ctx))
	e.MayHaveRun = errdefs.MayHaveRun(err)
	return &e
}

// apart is a context for what runs on another node: with ctx's deadline and end, and
// nothing else of it.
func apart(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(bare{ctx})
}

// bare is a context without values.
type bare struct{ context.Context } //nolint:containedctx // it's one itself

// Value implements context.Context.
func (bare) Value(any) any { return nil }

// closePeerSession ends a session of another node.
func (n *Node) closePeerSession(ctx context.Context, node string, id host.SessionID) error {
	_, engine, _, err := n.reach(ctx, node)
	if err != nil {
		return err
	}
	there, end := apart(ctx)
	defer end(nil)
	return engine.CloseForwarded(there, id)
}

// movePeerSession has another node hand a session over.
func (n *Node) movePeerSession(ctx context.Context, node string, id host.SessionID, to host.Owner) error {
	_, engine, _, err := n.reach(ctx, node)
	if err != nil {
		return err
	}
	there, end := apart(ctx)
	defer end(nil)
	return engine.HandOverSession(there, id, to)
}

// serveTool runs a host tool on another node.
func (n *Node) serveTool(ctx context.Context, node string, inv host.Invocation) ([]byte, error) {
	_, engine, _, err := n.reach(ctx, node)
	if err != nil {
		return nil, err
	}
	there, end := apart(ctx)
	defer end(nil)
	return engine.ServePeerTool(host.WithAncestors(there, host.Ancestors(ctx)), inv)
}

// handOver gives another node's engine what was saved of a session, if it takes such.
func (n *Node) handOver(ctx context.Context, node string, s host.SavedSession) error {
	_, engine, _, err := n.reach(ctx, node)
	if err != nil {
		return err
	}
	if taker, ok := any(engine).(interface {
		TakeSaved(s host.SavedSession) error
	}); ok {
		return taker.TakeSaved(s)
	}
	return nil
}
