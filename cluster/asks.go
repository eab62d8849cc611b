package cluster

import (
	"context"
	"sync"
	"time"
)

// asks is what Raft was asked and hasn't answered yet. A Raft that has lost its disk
// may never answer, and one that is shut down leaves some questions open: so nobody
// waits longer than they want, and Raft is shut down when nothing is open.
type asks struct {
	mu   sync.Mutex // guards all below
	open map[chan struct{}]struct{}
}

// await waits for what Raft says, unless ctx ends before.
func (a *asks) await(ctx context.Context, ask func() error) error {
	answer, done := make(chan error, 1), make(chan struct{})
	a.mu.Lock()
	if a.open == nil {
		a.open = map[chan struct{}]struct{}{}
	}
	a.open[done] = struct{}{}
	a.mu.Unlock()
	var asking sync.WaitGroup // settle waits for it
	asking.Go(func() {
		answer <- ask()
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.open, done)
		close(done)
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return gaveUp(ctx, true)
	}
}

// settle waits until nothing is open, for so long.
func (a *asks) settle(within time.Duration) {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		a.mu.Lock()
		var next chan struct{}
		for done := range a.open {
			next = done
			break
		}
		a.mu.Unlock()
		if next == nil {
			return
		}
		select {
		case <-next:
		case <-end.C:
			return
		}
	}
}
