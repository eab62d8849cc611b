package embed

import (
	"context"
	"errors"
	"sync"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/watch"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Reload replaces every worker of a pool by a new one, which runs the adapter as it
// is now, or those of all pools with an empty name: a few at a time and without a
// failed call. It blocks until the last old worker is gone. When a new one can't
// start it fails with that error, and the workers that are left serve on. progress
// (nil: nobody) is told of each step. When ctx ends no further worker is replaced.
func (h *Host) Reload(ctx context.Context, pool string, progress func(host.ReloadProgress)) error {
	return h.engine.Reload(ctx, pool, host.ReloadOptions{Progress: progress})
}

// DrainWorker takes a worker out of service, once another has taken its place, and
// blocks until its calls have ended and it's gone. When ctx ends, that goes on.
func (h *Host) DrainWorker(ctx context.Context, id host.WorkerID) error {
	return h.engine.DrainWorker(ctx, id)
}

// KillWorker ends a worker at once, with its calls.
func (h *Host) KillWorker(ctx context.Context, id host.WorkerID) error {
	return h.engine.KillWorker(ctx, id)
}

// watched is a pool whose adapter's files are watched.
type watched struct {
	pool    string
	watcher *watch.Watcher
}

// openWatchers begins to watch what Config.Watch asks for.
func (h *Host) openWatchers() error {
	if !h.cfg.Watch {
		return nil
	}
	for _, p := range h.set.pools {
		if len(p.Command.Sources) == 0 {
			e := errdefs.New(errdefs.InvalidConfig, "pool %s: the files of adapter %q can't be watched: it's installed somewhere", p.Name, p.Command.Adapter)
			e.Hint = "start in the folder that has its code, or name a file"
			return e
		}
		w, err := watch.New(p.Command.Sources)
		if err != nil {
			return errdefs.Wrap(errdefs.InvalidConfig, err, "pool %s: the adapter's files can't be watched", p.Name)
		}
		h.watchers = append(h.watchers, watched{p.Name, w})
	}
	return nil
}

// watch reloads pools as their files change, until ctx ends.
func (h *Host) watch(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(h.watchers))
	for i, w := range h.watchers {
		all.Go(func() {
			errs[i] = w.watcher.Run(ctx, func(ctx context.Context, blind error) { h.reloadChanged(ctx, w.pool, blind) })
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// reloadChanged reloads a pool whose files have changed. The engine tells of a reload
// that failed.
func (h *Host) reloadChanged(ctx context.Context, pool string, blind error) {
	if blind != nil {
		h.logger.Warn("some of the adapter's files aren't watched", "pool", pool, "error", blind)
	}
	h.logger.Info("the adapter's files have changed", "pool", pool)
	_ = h.Reload(ctx, pool, nil)
}
