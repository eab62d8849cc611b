package host

import (
	"context"
	"sync/atomic"
	"time"
)

// gate counts the calls that are under way and, once the host shuts down, keeps
// new ones out. A call stands inside from before it waits for anything until its
// slot is free again, even when its caller has long left.
type gate struct {
	inside atomic.Int64
	stage  atomic.Int32
	empty  chan struct{} // holds one token after the last call left a gate that isn't open
}

// The stages of a gate, in the order they're gone through.
const (
	gateOpen     int32 = iota
	gateDraining       // only calls made by calls that are inside, and further attempts of those that were
	gateClosed         // nobody
)

func newGate() *gate { return &gate{empty: make(chan struct{}, 1)} }

// enter counts before it looks, and shut sets before it counts: one of the two sees the other.
func (g *gate) enter(accepted bool) error {
	g.inside.Add(1)
	stage := g.stage.Load()
	if stage == gateOpen || (stage == gateDraining && accepted) {
		return nil
	}
	g.leave()
	return errDraining()
}

func (g *gate) leave() {
	if g.inside.Add(-1) == 0 && g.stage.Load() != gateOpen {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

func (g *gate) shut(stage int32) { g.stage.Store(stage) }

// wait blocks until nobody is inside or ctx is done, and reports whether it's empty.
func (g *gate) wait(ctx context.Context) bool {
	for g.inside.Load() > 0 {
		select {
		case <-g.empty:
		case <-ctx.Done():
			return g.inside.Load() == 0
		}
	}
	return true
}

func (g *gate) waitFor(ctx context.Context, d time.Duration) bool {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return g.wait(bounded)
}

// sleep waits for d, or less when ctx ends, and reports whether it did in full.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
