package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// DrainWorker takes a worker out of service: another one is started in its place,
// then it gets no more calls, those that it has may end, and it's stopped. It blocks
// until the worker is gone; when ctx ends first, that goes on all the same. Errors:
// worker_not_found, conflict when it's being replaced or has never been ready,
// start_failed when the other one can't start (the worker serves on then), draining.
func (h *Host) DrainWorker(ctx context.Context, id WorkerID) error {
	p, m := h.worker(id)
	if m == nil {
		return workerNotFound(id)
	}
	over := make(chan error, 1)
	err := p.tell(ctx, h.stopped, func(ctx context.Context, st *steward) { st.drainSeat(ctx, m, over) })
	if err != nil {
		return h.atWorker(err, m)
	}
	select {
	case err = <-over:
	case <-ctx.Done():
		err = ended(ctx, "while the worker was drained")
	}
	if err != nil {
		return h.atWorker(err, m)
	}
	return nil
}

// KillWorker ends a worker at once, with its calls; its seat gets another. Errors:
// worker_not_found, conflict when the worker isn't in service.
func (h *Host) KillWorker(ctx context.Context, id WorkerID) error {
	p, m := h.worker(id)
	if m == nil {
		return workerNotFound(id)
	}
	p.mu.Lock()
	worker := m.worker
	p.mu.Unlock()
	cause := errdefs.New(errdefs.WorkerCrashed, "an operator killed the worker")
	if worker == nil || !p.end(ctx, m, worker, cause) {
		return h.atWorker(errdefs.New(errdefs.Conflict, "the worker isn't in service"), m)
	}
	return nil
}

// worker finds a worker that isn't dead, and its pool.
func (h *Host) worker(id WorkerID) (*pool, *member) {
	for _, p := range h.order {
		if m := p.find(id); m != nil {
			return p, m
		}
	}
	return nil, nil
}

func (p *pool) find(id WorkerID) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.id == id && m.state != WorkerDead {
			return m
		}
	}
	return nil
}

func workerNotFound(id WorkerID) error {
	return errdefs.New(errdefs.WorkerNotFound, "no worker %q", names.Cut(string(id)))
}

func (h *Host) atWorker(err error, m *member) error {
	return locate(err, errdefs.Where{Node: h.cfg.Node, Pool: m.pool.name, Worker: string(m.id)})
}

// drainSeat replaces the seat's worker, if it's still that.
func (st *steward) drainSeat(ctx context.Context, m *member, over chan<- error) {
	for _, s := range st.list {
		if st.sitter(s) != m {
			continue
		}
		if st.exchanged(s) || !st.serves(m) {
			break
		}
		st.exchange(ctx, &exchange{old: s, patience: drainBound, done: func(err error) { over <- err }})
		return
	}
	over <- errdefs.New(errdefs.Conflict, "the worker is being replaced already, or has never been ready")
}

func (st *steward) serves(m *member) bool {
	st.pool.mu.Lock()
	defer st.pool.mu.Unlock()
	return m.state == WorkerReady
}
