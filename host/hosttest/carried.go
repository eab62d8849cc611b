package hosttest

import (
	"context"
	"sync"

	"github.com/snakepit-go/snakepit/host"
)

// Peers are the other nodes of a node's cluster.
type Peers struct{ node *Node }

// Peers gives what the node's engine reaches the others by.
func (n *Node) Peers() Peers { return Peers{n} }

// ServeTool implements host.Peers.
func (p Peers) ServeTool(ctx context.Context, node string, inv host.Invocation) ([]byte, error) {
	return p.node.serveTool(ctx, node, inv)
}

// CloseSession implements host.Peers.
func (p Peers) CloseSession(ctx context.Context, node string, id host.SessionID) error {
	return p.node.closePeerSession(ctx, node, id)
}

// HandOver implements host.Peers.
func (p Peers) HandOver(ctx context.Context, node string, s host.SavedSession) error {
	return p.node.handOver(ctx, node, s)
}

// MoveSession implements host.Peers.
func (p Peers) MoveSession(ctx context.Context, node string, id host.SessionID, to host.Owner) error {
	return p.node.movePeerSession(ctx, node, id, to)
}

// Open implements host.Peers.
func (p Peers) Open(ctx context.Context, node string, f host.Forwarded) (host.Running, host.Place, error) {
	to, engine, cut, err := p.node.reach(ctx, node)
	if err != nil {
		return nil, host.Place{}, err
	}
	to.way.count()
	there, end := apart(ctx)
	r := newCarried(p.node, to, cut, end)
	opened := make(chan error, 1)
	p.node.cluster.calls.Go(func() {
		defer close(opened)
		call, err := engine.OpenForwarded(there, f)
		if r.call = call; !r.pass(there) && err == nil {
			call.Close()
			err = unreachable(node, true)
		}
		opened <- err
	})
	select {
	case err = <-opened:
	case <-cut:
		err = unreachable(node, true)
	case <-ctx.Done():
		err = orEnded(ctx, unreachable(node, true)) // nobody has said anything
	}
	if err != nil {
		end(err)
		p.node.cluster.calls.Go(func() { r.abandon(opened) })
		return nil, host.Place{}, err
	}
	p.node.cluster.calls.Go(func() { r.carry(there) })
	p.node.cluster.calls.Go(func() { r.attend(ctx, node) })
	return r, r.call.Place(), nil
}

// carried is a call on another node, as the one sees it that has handed it over.
type carried struct {
	from, to *Node
	call     *host.Call
	cut      <-chan struct{}
	end      context.CancelCauseFunc // of the call there
	messages chan host.Message

	once   sync.Once
	done   chan struct{}
	result host.Message // set before done is closed, as err is
	err    error
}

func newCarried(from, to *Node, cut <-chan struct{}, end context.CancelCauseFunc) *carried {
	return &carried{from: from, to: to, cut: cut, end: end, messages: make(chan host.Message), done: make(chan struct{})}
}

// abandon closes a call that started all the same.
func (r *carried) abandon(opened <-chan error) {
	if err, ok := <-opened; ok && err == nil {
		r.call.Close()
	}
}

func (r *carried) pass(ctx context.Context) bool {
	return r.to.way.pass(ctx, r.cut) && r.from.way.pass(ctx, r.cut)
}

// carry brings what the call gives, until it has ended.
func (r *carried) carry(ctx context.Context) {
	defer r.call.Close()
	for {
		m, err := r.call.Recv(ctx)
		if !r.pass(ctx) {
			return // attend sees to it
		}
		if err != nil || m.Last {
			r.finish(m, err)
			return
		}
		select {
		case r.messages <- m:
		case <-r.done:
			return
		}
	}
}

// attend ends a call that is lost, or whose context has ended.
func (r *carried) attend(ctx context.Context, node string) {
	select {
	case <-r.done:
	case <-r.cut:
		r.finish(host.Message{}, unreachable(node, true))
	case <-ctx.Done():
		r.finish(host.Message{}, context.Cause(ctx))
	}
}

func (r *carried) finish(m host.Message, err error) {
	r.once.Do(func() {
		r.result, r.err = m, err
		close(r.done)
		r.end(err)
	})
}

// Recv implements host.Running.
func (r *carried) Recv(ctx context.Context) (host.Message, error) {
	select {
	case m := <-r.messages:
		return m, nil
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
		return host.Message{}, ctx.Err()
	}
}

// Send implements host.Running.
func (r *carried) Send(ctx context.Context, payload []byte) error {
	if !r.pass(ctx) {
		return orEnded(ctx, unreachable(r.to.id, true))
	}
	return r.call.Send(ctx, payload)
}

// CloseSend implements host.Running.
func (r *carried) CloseSend() error { return r.call.CloseSend() }

// Cancel implements host.Running.
func (r *carried) Cancel(cause error) { r.finish(host.Message{}, cause) }

// Done implements host.Running.
func (r *carried) Done() <-chan struct{} { return r.done }
