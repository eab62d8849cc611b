package host

import (
	"context"
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// locate gives err as an error of ours that says where it happened. It's a copy:
// several calls may share one error, such as their worker's death.
func locate(err error, where errdefs.Where) *errdefs.Error {
	e := *errdefs.Of(err)
	return e.At(where)
}

// ended is the error of a context that's over. doing says during what, so that a
// reader knows which layer's wait was cut short.
func ended(ctx context.Context, doing string) *errdefs.Error {
	var own *errdefs.Error
	if errors.As(context.Cause(ctx), &own) {
		e := *own
		e.Message += " " + doing
		return &e
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errdefs.New(errdefs.Deadline, "the caller's deadline passed %s", doing)
	}
	return errdefs.New(errdefs.Cancelled, "the caller cancelled %s", doing)
}

// fromContext reports whether err is a context's own error, or one of ours that
// stands for it.
func fromContext(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// neverReached reports whether a call that failed with err may be given to
// another worker: the one it was meant for takes no calls any more, and nothing ran.
func neverReached(err error) bool {
	r := errdefs.ReasonOf(err)
	return (r == errdefs.WorkerCrashed || r == errdefs.Draining) && !errdefs.MayHaveRun(err)
}

func errDraining() *errdefs.Error {
	e := errdefs.New(errdefs.Draining, "the host is shutting down")
	e.Hint = "try another host, or this one when it's back"
	return e
}
