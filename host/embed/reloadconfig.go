package embed

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// ReloadConfig reads Config.File again and applies what a running host can take:
// most knobs of pools at once, and what their workers are by replacing these, which
// it waits for. What needs a restart is named among the changes and left as it is,
// pools that are new or gone too. A configuration that's wrong changes nothing. What is
// set for all hosts stays over it.
//
// Errors: invalid_config with everything that's wrong, conflict while another reload
// is under way, draining, and ctx's.
func (h *Host) ReloadConfig(ctx context.Context) (config.Reload, error) {
	if !h.reloading.TryLock() {
		return config.Reload{}, errdefs.New(errdefs.Conflict, "the configuration is being reloaded already")
	}
	defer h.reloading.Unlock()
	release, err := h.applying(ctx)
	if err != nil {
		return config.Reload{}, err
	}
	defer release()
	next, err := settle(h.cfg, h.overrides())
	if err != nil {
		h.logger.Error("the configuration is wrong, and nothing of it was applied", "error", err)
		return config.Reload{}, err
	}
	h.logWarnings(next.loaded.Warnings)
	out := config.Reload{Changes: h.changes(next), Warnings: next.loaded.Warnings}
	next.pools = h.kept(next)
	done, err := h.engine.Reconfigure(ctx, next.pools)
	if err != nil {
		return config.Reload{}, err
	}
	out.Failures = h.adopt(next, done)
	h.tellChanges(out.Changes)
	return out, nil
}

// changes are the knobs that differ: from what holds now, and for those that need a
// restart from what the host was started with.
func (h *Host) changes(next settings) []config.Change {
	byRestart := func(c config.Change) bool { return c.Effect == config.ByRestart }
	held := slices.DeleteFunc(h.applied.Load().loaded.Changes(next.loaded), byRestart)
	waiting := slices.DeleteFunc(h.set.loaded.Changes(next.loaded), func(c config.Change) bool { return !byRestart(c) })
	return slices.Concat(held, waiting)
}

// kept are the pools that the host has, with their new configuration where there's one.
func (h *Host) kept(next settings) []host.PoolConfig {
	var pools []host.PoolConfig
	for _, now := range h.applied.Load().pools {
		i := slices.IndexFunc(next.pools, func(p host.PoolConfig) bool { return p.Name == now.Name })
		if i >= 0 {
			now = next.pools[i]
		}
		pools = append(pools, now)
	}
	return pools
}

// adopt notes what holds from now on, and returns what was in the way of the rest: a
// pool whose workers can't be replaced keeps them, and what it takes to start such.
func (h *Host) adopt(next settings, done []host.PoolChange) []*errdefs.Error {
	was := h.applied.Load()
	var failures []*errdefs.Error
	for _, d := range done {
		if d.Err == nil {
			continue
		}
		next.loaded = next.loaded.WithWorkersOf(was.loaded, d.Pool)
		next.keepWorkersOf(was, d.Pool)
		failures = append(failures, errdefs.Of(d.Err).At(errdefs.Where{Pool: d.Pool}))
		h.logger.Error("the pool keeps its workers", "pool", d.Pool, "error", d.Err)
	}
	if level := next.host.LogLevel; level != was.host.LogLevel {
		h.logger.SetLevel(hclog.LevelFromString(level))
	}
	h.applied.Store(&next)
	return failures
}

// keepWorkersOf takes over what a pool's workers are.
func (s *settings) keepWorkersOf(was *settings, pool string) {
	named := func(p host.PoolConfig) bool { return p.Name == pool }
	i, j := slices.IndexFunc(s.pools, named), slices.IndexFunc(was.pools, named)
	if i >= 0 && j >= 0 {
		s.pools[i].Command, s.pools[i].Settings = was.pools[j].Command, was.pools[j].Settings
	}
}

func (h *Host) tellChanges(changes []config.Change) {
	if len(changes) == 0 {
		h.logger.Info("the configuration was read again, and nothing has changed")
	}
	for _, c := range changes {
		args := []any{"knob", c.Knob, "pool", cmp.Or(c.Pool, "-"), "old", c.Old, "new", c.New}
		if c.Effect == config.ByRestart {
			h.logger.Warn("the configuration has changed, but this needs a restart of the host", args...)
			continue
		}
		h.logger.Info("the configuration has changed", args...)
	}
}
