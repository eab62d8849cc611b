package hosttest

import (
	"context"
	"io"
	"sync"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Call is what a fake tool sees of its call.
type Call struct {
	host.Invocation
	Worker *Worker

	run *running
}

// Killed is closed when the worker is gone: even a tool that ignores its cancel
// ends then.
func (c *Call) Killed() <-chan struct{} { return c.Worker.done }

// Emit gives a chunk, and blocks until it's taken.
func (c *Call) Emit(ctx context.Context, payload []byte) error {
	return c.emit(ctx, host.Message{Payload: payload})
}

// Report tells how far the call has come.
func (c *Call) Report(ctx context.Context, p host.Progress) error {
	return c.emit(ctx, host.Message{Progress: &p})
}

func (c *Call) emit(ctx context.Context, m host.Message) error {
	select {
	case c.run.messages <- m:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Next takes a chunk of the caller's; io.EOF after the last.
func (c *Call) Next(ctx context.Context) ([]byte, error) {
	select {
	case b := <-c.run.input:
		return b, nil
	case <-c.run.inputEnd:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Host calls a host tool.
func (c *Call) Host(ctx context.Context, tool string, args []byte) ([]byte, error) {
	inv := host.Invocation{ID: c.ID, Tool: tool, Payload: args, Session: c.Session, Deadline: c.Deadline}
	return c.Worker.serve.ServeTool(ctx, c.Worker.Spec.Worker, inv)
}

// running is a call on a fake worker.
type running struct {
	worker   *Worker
	messages chan host.Message
	input    chan []byte
	inputEnd chan struct{}
	endInput sync.Once
	cancel   context.CancelCauseFunc
	turn     chan struct{} // closed when it has a slot

	cancelled  chan struct{}
	cancelOnce sync.Once
	cause      error // set before cancelled is closed

	done   chan struct{}
	result []byte // set before done is closed, as err is
	err    error
}

func newRunning(w *Worker) (*running, context.Context) {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &running{
		worker: w, messages: make(chan host.Message), input: make(chan []byte), inputEnd: make(chan struct{}),
		cancel: cancel, turn: make(chan struct{}), cancelled: make(chan struct{}), done: make(chan struct{}),
	}, ctx
}

// work runs the tool. Whatever it gives counts for nothing once the worker is gone.
func (r *running) work(ctx context.Context, inv host.Invocation) {
	result, err := r.call(ctx, inv)
	if !r.worker.leave(r) {
		result, err = nil, r.worker.crash()
	}
	r.result, r.err = result, err
	close(r.done)
	r.cancel(nil)
}

func (r *running) call(ctx context.Context, inv host.Invocation) ([]byte, error) {
	if !r.awaitTurn(ctx) {
		return nil, context.Cause(ctx)
	}
	t := r.worker.launcher.find(inv.Tool)
	if t == nil {
		return nil, errdefs.New(errdefs.ToolNotFound, "no tool %s", inv.Tool)
	}
	return t.Run(ctx, &Call{Invocation: inv, Worker: r.worker, run: r})
}

// awaitTurn waits for a slot, and reports whether it got one: a call that is
// cancelled before is answered at once, unless its worker is deaf.
func (r *running) awaitTurn(ctx context.Context) bool {
	select {
	case <-r.turn:
		return true
	default:
	}
	gone := ctx.Done()
	if r.worker.launcher.Deaf {
		gone = r.worker.done
	}
	select {
	case <-r.turn:
		return true
	case <-gone:
		return false
	}
}

// Recv implements host.Running.
func (r *running) Recv(ctx context.Context) (host.Message, error) {
	select {
	case <-r.cancelled:
		return host.Message{}, r.cause
	default:
	}
	select {
	case m := <-r.messages:
		return m, nil
	case <-r.done:
		return host.Message{Payload: r.result, Last: r.err == nil}, r.err
	case <-r.cancelled:
		return host.Message{}, r.cause
	case <-ctx.Done():
		return host.Message{}, ctx.Err()
	}
}

// Send implements host.Running.
func (r *running) Send(ctx context.Context, payload []byte) error {
	select {
	case r.input <- payload:
		return nil
	case <-r.done:
		return io.EOF
	case <-r.cancelled:
		return r.cause
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CloseSend implements host.Running.
func (r *running) CloseSend() error {
	r.endInput.Do(func() { close(r.inputEnd) })
	return nil
}

// Cancel implements host.Running.
func (r *running) Cancel(cause error) {
	r.cancelOnce.Do(func() {
		r.cause = cause
		close(r.cancelled)
		r.cancel(cause)
	})
}

// End implements host.Ender.
func (r *running) End() error {
	select {
	case <-r.cancelled:
		return r.cause
	default:
		return r.err
	}
}

// Done implements host.Running.
func (r *running) Done() <-chan struct{} { return r.done }
