package host

import (
	"context"
	"fmt"
	"slices"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// ReloadOptions are what [Host.Reload] may be told.
type ReloadOptions struct {
	// Progress is told of each step, by the goroutine that called Reload. Nil: nobody.
	Progress func(ReloadProgress)
}

// ReloadProgress is how far a pool's reload has come.
type ReloadProgress struct {
	Pool     string
	Total    int      // workers to replace
	Replaced int      // of them, those whose replacement is in service
	Worker   WorkerID // the one that was replaced last; empty: none yet
}

// reload is a rolling reload that is under way. Only the steward touches it.
type reload struct {
	todo     []*seat
	underway int
	progress ReloadProgress
	steps    chan ReloadProgress // has room for all of them; closed at the end
	err      error               // why it ended early; read by others once steps is closed
}

// Reload replaces every worker of a pool, or of all pools with an empty name, by a
// new one, which runs the adapter as it is now: a few at a time, each new one
// first, then the old one is drained and stopped, so that no call fails. It blocks
// until the last old worker is gone. When a new worker can't start, the reload ends
// there, with its error: the workers that are left serve on. A session whose home
// is replaced gets a new one, as after a death.
//
// When ctx ends no further worker is replaced. A reload waits for the one before.
// Errors: pool_not_found, start_failed and what else a start gives, draining, and
// ctx's.
func (h *Host) Reload(ctx context.Context, pool string, opts ReloadOptions) error {
	pools, err := h.poolsNamed(pool)
	if err != nil {
		return err
	}
	var first error
	for _, p := range pools {
		if err := p.reloadAll(ctx, h.stopped, opts.Progress); err != nil && first == nil {
			first = locate(err, errdefs.Where{Node: h.cfg.Node, Pool: p.name})
		}
	}
	return first
}

// poolsNamed gives one pool, or all with an empty name.
func (h *Host) poolsNamed(name string) ([]*pool, error) {
	if name == "" {
		return h.order, nil
	}
	p := h.pools[name]
	if p == nil {
		return nil, h.poolNotFound(name)
	}
	return []*pool{p}, nil
}

func (p *pool) reloadAll(ctx context.Context, stopped <-chan struct{}, tell func(ReloadProgress)) error {
	select {
	case p.reloading <- struct{}{}:
		defer func() { <-p.reloading }()
	case <-stopped:
		return errDraining()
	case <-ctx.Done():
		return ended(ctx, "while another reload of pool "+p.name+" was under way")
	}
	r := &reload{}
	if err := p.tell(ctx, stopped, func(_ context.Context, st *steward) { st.beginReload(r) }); err != nil {
		return err
	}
	gone := ctx.Done()
	for {
		select {
		case step, more := <-r.steps:
			if !more {
				return r.err
			}
			if tell != nil {
				tell(step)
			}
		case <-gone:
			gone = nil
			cause := ended(ctx, "while pool "+p.name+" was reloaded")
			if err := p.tell(context.WithoutCancel(ctx), stopped, func(context.Context, *steward) { r.stop(cause) }); err != nil {
				return err
			}
		}
	}
}

func (st *steward) beginReload(r *reload) {
	st.pool.generation.Add(1)
	st.dismissGuests()
	r.todo = slices.Clone(st.list)
	r.steps = make(chan ReloadProgress, len(r.todo)+1)
	r.progress = ReloadProgress{Pool: st.pool.name, Total: len(r.todo)}
	r.steps <- r.progress
	st.reload = r
}

// advance goes on with the pool's reload.
func (st *steward) advance(ctx context.Context) {
	r := st.reload
	if r == nil {
		return
	}
	for room := st.room(); room > 0; room-- {
		s := st.nextToReload(r)
		if s == nil {
			break
		}
		st.replaceOutdated(ctx, r, s)
	}
	if len(r.todo) > 0 || r.underway > 0 {
		return
	}
	st.reload = nil
	st.report(r)
	close(r.steps)
}

// nextToReload takes a seat of the list; nil: there is none just now. Those that were
// retired meanwhile need nothing, and those that are being replaced for another
// reason come when that's over: their fresh worker may be older than the reload.
func (st *steward) nextToReload(r *reload) *seat {
	r.todo = slices.DeleteFunc(r.todo, func(s *seat) bool { return s.retired })
	i := slices.IndexFunc(r.todo, func(s *seat) bool { return !st.exchanged(s) })
	if i < 0 {
		return nil
	}
	s := r.todo[i]
	r.todo = slices.Delete(r.todo, i, i+1)
	return s
}

func (st *steward) replaceOutdated(ctx context.Context, r *reload, s *seat) {
	r.underway++
	var old WorkerID
	if m := st.sitter(s); m != nil {
		old = m.id
	}
	st.exchange(ctx, &exchange{
		old: s, patience: drainBound,
		swapped: func() {
			st.pool.tally.recycled.add(RecycleReload)
			r.progress.Replaced++
			r.progress.Worker = old
			r.steps <- r.progress
		},
		done: func(err error) {
			r.underway--
			if err != nil {
				r.stop(err)
			}
		},
	})
}

// sitter is the worker in a seat, whatever its state; nil before the first.
func (st *steward) sitter(s *seat) *member {
	st.pool.mu.Lock()
	defer st.pool.mu.Unlock()
	return s.member
}

// report tells how a reload has ended.
func (st *steward) report(r *reload) {
	p := st.pool
	done := fmt.Sprintf("%d of %d workers replaced", r.progress.Replaced, r.progress.Total)
	if r.err == nil {
		p.event.emit(EventPoolReloaded, "", "", done)
		p.log.Info("pool reloaded", "workers", r.progress.Replaced)
		return
	}
	p.event.emit(EventReloadFailed, "", errdefs.ReasonOf(r.err), done+": "+r.err.Error())
	p.log.Error("reload ended early; the other workers serve on", "replaced", r.progress.Replaced, "of", r.progress.Total, "error", r.err)
}

// stop keeps further workers from being replaced.
func (r *reload) stop(err error) {
	r.todo = nil
	if r.err == nil {
		r.err = err
	}
}
