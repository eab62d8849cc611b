package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// remoteRun is a call that runs on another node: a [host.Running] over a stream. It
// has no goroutine of its own: what nobody reads waits in the stream's window, and so
// holds up the tool.
type remoteRun struct {
	node   string
	ctx    context.Context //nolint:containedctx // it's the stream's, which has one as well
	stop   context.CancelFunc
	stream grpc.BidiStreamingClient[snakepitv1.PeerOpenRequest, snakepitv1.PeerOpenResponse]

	done chan struct{}
	once sync.Once // for done

	mu    sync.Mutex // guards cause
	cause error      // of the cancel; nil: there was none
}

var _ host.Running = (*remoteRun)(nil)

func newRemoteRun(ctx context.Context, node string) *remoteRun {
	r := &remoteRun{node: node, done: make(chan struct{})}
	r.ctx, r.stop = context.WithCancel(ctx)
	return r
}

// open hands the call over and waits until it has been started, or refused.
func (r *remoteRun) open(conn grpc.ClientConnInterface, f host.Forwarded) (host.Place, error) {
	var err error
	if r.stream, err = snakepitv1.NewPeerClient(conn).Open(r.ctx); err != nil {
		return host.Place{}, peerError(r.ctx, r.node, err, false)
	}
	sent := false // all of it: without its last part nothing can be run
	next := &snakepitv1.PeerOpenRequest{Call: peerCallOf(f)}
	err = split(f.Payload, func(part []byte, more bool) error {
		next.Payload, next.More, sent = part, more, !more
		err := r.stream.Send(next)
		next = &snakepitv1.PeerOpenRequest{}
		return err
	})
	if err == nil && !f.Input {
		err = r.stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: it was refused, and Recv tells why
		return host.Place{}, peerError(r.ctx, r.node, err, sent)
	}
	first, err := r.stream.Recv()
	if err != nil {
		return host.Place{}, peerError(r.ctx, r.node, err, sent)
	}
	if first.GetOpened() == nil {
		return host.Place{}, r.confused()
	}
	return placeOf(first.GetOpened()), nil
}

func (r *remoteRun) confused() error {
	e := errdefs.New(errdefs.Protocol, "node %s answered a call with something else", r.node)
	e.MayHaveRun = true
	return e
}

// Recv implements [host.Running]. Where ctx ends before the call it ends the call.
func (r *remoteRun) Recv(ctx context.Context) (host.Message, error) {
	if err := r.cancelled(); err != nil {
		return host.Message{}, err
	}
	defer context.AfterFunc(ctx, r.stop)()
	m, err := r.next()
	if err == nil && !m.Last {
		return m, nil
	}
	err = r.lost(ctx, err)
	r.end() // not before: it ends the context that says why
	return m, err
}

// lost says why a call gave an error instead of a message; nil stays nil.
func (r *remoteRun) lost(ctx context.Context, err error) error {
	switch own := r.cancelled(); {
	case err == nil:
		return nil
	case own != nil:
		return own
	case ctx.Err() != nil && saidBy(err) == nil:
		return context.Cause(ctx)
	}
	return peerError(r.ctx, r.node, err, true) //nolint:contextcheck // the run's own is within ctx
}

// next reads one message, all its parts.
func (r *remoteRun) next() (host.Message, error) {
	first, err := r.stream.Recv()
	if err != nil {
		return host.Message{}, err
	}
	if p := first.GetProgress(); p != nil {
		return host.Message{Progress: &host.Progress{Done: p.GetDone(), Total: p.GetTotal(), Message: p.GetMessage()}}, nil
	}
	payload, err := gather(first, r.stream.Recv)
	if err != nil {
		return host.Message{}, err
	}
	switch {
	case first.GetResult() != nil:
		return host.Message{Payload: payload, Last: true}, nil
	case first.GetChunk() != nil:
		return host.Message{Payload: payload}, nil
	}
	return host.Message{}, r.confused()
}

// Send implements [host.Running]. Where ctx ends before the chunk is on its way it
// ends the call: half a chunk is of no use.
func (r *remoteRun) Send(ctx context.Context, payload []byte) error {
	defer context.AfterFunc(ctx, r.stop)()
	err := split(payload, func(part []byte, more bool) error {
		return r.stream.Send(&snakepitv1.PeerOpenRequest{Payload: part, More: more})
	})
	switch own := r.cancelled(); {
	case err == nil, errors.Is(err, io.EOF) && ctx.Err() == nil && own == nil:
		return err // EOF: the call has ended, for Recv to say how
	case own != nil:
		return own
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return peerError(r.ctx, r.node, err, true) //nolint:contextcheck // the run's own is within ctx
}

// CloseSend implements [host.Running].
func (r *remoteRun) CloseSend() error { return r.stream.CloseSend() }

// Cancel implements [host.Running]. The other node sees the end of the stream, and
// cancels its call.
func (r *remoteRun) Cancel(cause error) {
	if cause == nil {
		cause = errdefs.New(errdefs.Cancelled, "the caller cancelled the call")
	}
	select {
	case <-r.done:
		return // it has ended by itself
	default:
	}
	r.mu.Lock()
	if r.cause == nil {
		r.cause = cause
	}
	r.mu.Unlock()
	r.end()
}

// Done implements [host.Running]. Nothing of this node is taken by the call: it's
// closed once the caller has its end.
func (r *remoteRun) Done() <-chan struct{} { return r.done }

func (r *remoteRun) cancelled() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// end lets go of the stream.
func (r *remoteRun) end() {
	r.once.Do(func() { close(r.done) })
	r.stop()
}
