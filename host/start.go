package host

import (
	"cmp"
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// startState is how far a pool's start has come.
type startState struct {
	ready     int
	want      int
	everReady bool
	closed    bool
	err       error         // the newest worker's, when it couldn't start
	changed   chan struct{} // closed when any of this changes
}

func (p *pool) startState() startState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return startState{p.ready, p.want, p.everReady, p.closed, p.startErr, p.changed}
}

// awaitWorkers blocks until n workers are ready; zero: all that the pool wants, however
// that changes meanwhile. It fails with start_failed at
// once when the pool has never had one and the newest couldn't start, and with
// pool_starting when ctx's deadline comes first.
func (p *pool) awaitWorkers(ctx context.Context, n int) error {
	for {
		s := p.startState()
		n := cmp.Or(n, s.want)
		switch {
		case s.closed:
			return errDraining()
		case s.ready >= n:
			return nil
		case s.err != nil && !s.everReady:
			return s.err
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return p.notStarted(ctx, s, n)
		}
	}
}

// awaitTools blocks until the pool knows its tools: until its first worker has
// been ready, whatever became of it since.
func (p *pool) awaitTools(ctx context.Context) (*toolset, error) {
	for {
		if t := p.tools.Load(); t != nil {
			return t, nil
		}
		if err := p.awaitWorkers(ctx, 1); err != nil && p.tools.Load() == nil {
			return nil, err
		}
	}
}

func (p *pool) notStarted(ctx context.Context, s startState, n int) error {
	if e := ended(ctx, "while pool "+p.name+" was starting"); e.Reason != errdefs.Deadline {
		return e
	}
	cause := s.err
	if cause == nil {
		cause = ctx.Err()
	}
	e := errdefs.Wrap(errdefs.PoolStarting, cause, "%d of %d workers of pool %s are ready", s.ready, n, p.name)
	e.Hint = "give it more time"
	return e
}
