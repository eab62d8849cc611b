package host

import (
	"context"
	"sync"
	"time"
)

// batches lets a pool's workers start a batch at a time: the next one begins once
// all of the last have started, or have shown that they can't, and a delay has passed.
type batches struct {
	turn chan struct{} // whoever fills it is the next to start
	idle chan struct{} // holds one token after the last of a batch came to its end

	mu       sync.Mutex // guards all below, for memory only
	admitted int        // to this batch
	running  int
	ended    time.Time // when running became zero
}

func newBatches() *batches {
	return &batches{turn: make(chan struct{}, 1), idle: make(chan struct{}, 1)}
}

// enter waits until a worker may start; whoever was let in calls leave. size may
// change while it waits; zero: there are no batches.
func (b *batches) enter(ctx context.Context, size func() (int, time.Duration)) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		pause, ok := b.admit(size())
		if ok {
			return nil
		}
		if !b.await(ctx, pause) {
			return ctx.Err()
		}
	}
}

// admit lets a worker in, or says how long it takes until the next batch may
// begin; negative: the last one is still at it.
func (b *batches) admit(size int, delay time.Duration) (pause time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == 0 {
		if pause = delay - time.Since(b.ended); pause <= 0 {
			b.admitted = 0
		}
	} else {
		pause = -1
	}
	if size > 0 && b.admitted >= size {
		return pause, false
	}
	b.admitted++
	b.running++
	return 0, true
}

func (b *batches) await(ctx context.Context, pause time.Duration) bool {
	if pause > 0 {
		return sleep(ctx, pause)
	}
	select {
	case <-b.idle:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *batches) leave() {
	b.mu.Lock()
	b.running--
	last := b.running == 0
	if last {
		b.ended = time.Now()
	}
	b.mu.Unlock()
	if !last {
		return
	}
	select {
	case b.idle <- struct{}{}:
	default:
	}
}
