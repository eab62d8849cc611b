package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// deadlines are those of calls that bring none.
type deadlines struct {
	call, stream deadline
}

// deadline is a length of time, and what is said when it has passed.
type deadline struct {
	after time.Duration
	name  string
	cause error
}

func newDeadlines(cfg Config) deadlines {
	of := func(knob string, after time.Duration) deadline {
		name := knob + ", " + after.String() + ","
		return deadline{after, name, errdefs.New(errdefs.Deadline, "%s passed", name)}
	}
	return deadlines{call: of("call_timeout", cfg.CallTimeout), stream: of("stream_timeout", cfg.StreamTimeout)}
}

// of is the deadline of a call, or of a stream.
func (d deadlines) of(stream bool) deadline {
	if stream {
		return d.stream
	}
	return d.call
}

// bounded gives ctx a deadline when it has none, and a way to end it.
func (d deadlines) bounded(ctx context.Context, now time.Time, stream bool) (context.Context, time.Time, context.CancelFunc) {
	if at, ok := ctx.Deadline(); ok {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, at, cancel
	}
	own := d.of(stream)
	at := now.Add(min(own.after, longestDeadline)) // for ever would be before now
	ctx, cancel := context.WithDeadlineCause(ctx, at, own.cause)
	return ctx, at, cancel
}

// longestDeadline is what no call waits for.
const longestDeadline = 100 * 365 * 24 * time.Hour
