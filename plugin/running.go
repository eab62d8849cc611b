package plugin

import (
	"context"
	"sync/atomic"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// running is one call on a worker's lane.
type running struct {
	w         *worker
	call      *lane.Call
	cancelled atomic.Bool // by us
}

var (
	_ host.Running = (*running)(nil)
	_ host.Ender   = (*running)(nil)
)

// Recv implements host.Running.
func (r *running) Recv(ctx context.Context) (host.Message, error) {
	m, err := r.call.Recv(ctx)
	if err != nil {
		return host.Message{}, r.explain(ctx, err)
	}
	return messageOf(m), nil
}

// explain also tells a stop from a cancel: a worker that ends cancels its tools,
// which the caller never asked for.
func (r *running) explain(ctx context.Context, err error) error {
	if errdefs.ReasonOf(err) == errdefs.Cancelled && ctx.Err() == nil && !r.cancelled.Load() && isClosed(r.w.stopping) {
		e := errdefs.New(errdefs.Draining, "the worker was stopped during the call")
		e.MayHaveRun = true
		return e.At(errdefs.Where{Worker: string(r.w.id)})
	}
	return r.w.explain(ctx, err)
}

// Send implements host.Running.
func (r *running) Send(ctx context.Context, payload []byte) error {
	if err := r.call.Send(ctx, payload); err != nil {
		return r.w.explain(ctx, err)
	}
	return nil
}

// CloseSend implements host.Running.
func (r *running) CloseSend() error { return r.call.CloseSend() }

// Cancel implements host.Running.
func (r *running) Cancel(cause error) {
	r.cancelled.Store(true)
	r.call.Cancel(cause)
}

// End implements host.Ender.
func (r *running) End() error { return r.call.End() }

// Done implements host.Running.
func (r *running) Done() <-chan struct{} { return r.call.Done() }

// serve answers the calls that the worker makes to the host.
func (w *worker) serve(tools host.ToolServer) func(context.Context, *lane.Inbound) {
	return func(ctx context.Context, in *lane.Inbound) {
		result, err := tools.ServeTool(ctx, w.id, invocationOf(in.Request()))
		in.End(result, err)
	}
}
