package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lodge runs a call here that was on another node before, as a call of its own: what
// others may read of the first one can't change any more.
func (h *Host) lodge(ctx context.Context, f Forwarded) (Running, Place, error) {
	c := h.newCall(ctx, f.Request)
	c.id, c.handed = f.ID, true
	ctx, c.deadline, c.cancel = h.bounded(ctx, h.epoch.Add(c.arrived), f.Stream)
	if err := h.openHere(ctx, ctx, c, true); err != nil {
		e := c.locate(err)
		c.end(e)
		return nil, Place{}, e
	}
	return lodger{c}, c.Place(), nil
}

// lodger is a call that is another one's run.
type lodger struct{ *Call }

// Cancel implements [Running].
func (l lodger) Cancel(cause error) { l.leave(errdefs.Of(cause)) }

// Done implements [Running].
func (l lodger) Done() <-chan struct{} { return l.attempt.Load().run.Done() }
