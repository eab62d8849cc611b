package host

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Shift moves sessions, a bounded number at once, each of which may wait for its running
// calls to end. done (nil: nobody) is told what became of each, one after the other: an
// error of one stops no other, and isn't returned. When ctx ends no further one is begun,
// those that wait stay where they are, and it fails.
func (h *Host) Shift(ctx context.Context, shifts []Shift, wait time.Duration, done func(Shift, error)) error {
	var group errgroup.Group
	group.SetLimit(handOverLimit)
	var mu sync.Mutex // done is called by one
	begun := 0
	for ; begun < len(shifts) && ctx.Err() == nil; begun++ {
		s := shifts[begun]
		group.Go(func() error {
			err := h.shift(ctx, s, wait)
			mu.Lock()
			defer mu.Unlock()
			if done != nil {
				done(s, err)
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
	if ctx.Err() != nil {
		return ended(ctx, "before all sessions were moved")
	}
	return nil
}

// shift moves a session, unless it isn't where it was any more.
func (h *Host) shift(ctx context.Context, s Shift, wait time.Duration) error {
	if h.routes == nil {
		return alone()
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	owner, _, err := h.routes.owner(ctx, s.Session)
	if err == nil && owner != s.From {
		err = errdefs.New(errdefs.SessionMoved, "it isn't node %q's any more", s.From.Node)
	}
	if err == nil {
		_, err = h.routes.relocate(ctx, s.Session, s.To)
	}
	if err != nil {
		return h.atSession(err, s.Session)
	}
	return nil
}
