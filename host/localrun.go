package host

import (
	"context"
	"sync"
)

// localRun is a host tool that a Go caller runs: a [Running] without a worker.
type localRun struct {
	stop      context.CancelCauseFunc
	cancelled chan struct{}
	once      sync.Once
	cause     error // set before cancelled is closed

	done   chan struct{}
	result []byte // set before done is closed, as err is
	err    error
}

func newLocalRun(stop context.CancelCauseFunc) *localRun {
	return &localRun{stop: stop, cancelled: make(chan struct{}), done: make(chan struct{})}
}

// finish gives the result; it's called once.
func (r *localRun) finish(result []byte, err error) {
	r.result, r.err = result, err
	close(r.done)
	r.stop(nil)
}

// Recv implements [Running].
func (r *localRun) Recv(ctx context.Context) (Message, error) {
	select {
	case <-r.cancelled:
		return Message{}, r.cause
	case <-ctx.Done():
		return Message{}, ctx.Err()
	case <-r.done:
		return Message{Payload: r.result, Last: r.err == nil}, r.err
	}
}

// Send implements [Running]; host tools take no chunks.
func (r *localRun) Send(context.Context, []byte) error { return errNoInput() }

// CloseSend implements [Running].
func (r *localRun) CloseSend() error { return nil }

// Cancel implements [Running].
func (r *localRun) Cancel(cause error) {
	r.once.Do(func() {
		r.cause = cause
		close(r.cancelled)
		r.stop(cause)
	})
}

// Done implements [Running].
func (r *localRun) Done() <-chan struct{} { return r.done }
