package embed

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// overrides are what is set for all hosts of the cluster. A node that has found no
// majority since it started doesn't know, and goes by its own configuration.
func (h *Host) overrides() config.Overrides {
	if h.registry == nil || !h.Quorum() {
		return nil
	}
	return h.registry.PoolOverrides()
}

// onOverrides notes that what is set for all hosts has changed.
func (h *Host) onOverrides(map[string]map[string]string) {
	select {
	case h.overridden <- struct{}{}:
	default: // it's noted already
	}
}

// newEngine makes the engine, with what is set for all hosts as far as that's known.
// Whatever that is, it doesn't keep a host from starting.
func (h *Host) newEngine() (*host.Host, error) {
	over := h.overrides()
	if len(over) == 0 {
		return host.New(h.engineConfig(h.launcher))
	}
	own := h.set
	next, err := own.overlaid(over)
	if err != nil {
		return nil, err
	}
	h.logNews(own.loaded, next.loaded)
	h.set.hold(next)
	engine, err := host.New(h.engineConfig(h.launcher))
	if err == nil {
		return engine, nil
	}
	h.logger.Warn("what is set for all hosts can't be applied here: this host goes by its own configuration", "error", err)
	h.set.hold(own)
	return host.New(h.engineConfig(h.launcher))
}

// hold takes over how the pools are.
func (s *settings) hold(next settings) {
	s.over, s.loaded, s.pools = next.over, next.loaded, next.pools
}

// overlaid is the same configuration under what is set for all hosts by now. What
// workers are is as it was.
func (s *settings) overlaid(over config.Overrides) (settings, error) {
	loaded, err := load(s.src, over)
	if err != nil {
		return *s, err
	}
	next := *s
	next.over, next.loaded, next.pools = over, loaded, slices.Clone(s.pools)
	for i, p := range s.pools {
		j := slices.IndexFunc(loaded.Pools, func(c config.Pool) bool { return c.Name == p.Name })
		if j < 0 {
			continue // it's gone from the file, and stays as it is until a restart
		}
		next.loaded = next.loaded.WithWorkersOf(s.loaded, p.Name)
		next.pools[i] = withWorkers(loaded.Pools[j], p.Command, p.Settings)
	}
	return next, nil
}

// followOverrides applies what is set for all hosts whenever that changes, until ctx ends.
func (h *Host) followOverrides(ctx context.Context) {
	if h.registry == nil {
		return
	}
	select {
	case <-h.engine.Seated():
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-h.overridden:
			h.applyOverrides(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// applyOverrides gives the pools what is set for all hosts by now. A pool that can't
// take it stays as it is, and is named.
func (h *Host) applyOverrides(ctx context.Context) {
	release, err := h.applying(ctx)
	if err != nil {
		return
	}
	defer release()
	was, over := h.applied.Load(), h.overrides()
	if maps.EqualFunc(was.over, over, maps.Equal[map[string]string, map[string]string]) {
		return
	}
	next, err := was.overlaid(over)
	if err != nil {
		h.logger.Error("what is set for all hosts can't be applied", "error", err)
		return
	}
	wanted := next.pools
	next.pools = slices.Clone(was.pools)
	for i, p := range wanted {
		if reflect.DeepEqual(p, was.pools[i]) {
			continue
		}
		tried := slices.Clone(next.pools)
		tried[i] = p
		if _, err := h.engine.Reconfigure(ctx, tried); err != nil {
			if ctx.Err() != nil || errors.Is(err, errdefs.ErrUnavailable) {
				return // the host ends
			}
			h.logger.Warn("the pool can't take what is set for all hosts, and stays as it is", "pool", p.Name, "error", err)
			next.loaded = next.loaded.WithPoolOf(was.loaded, p.Name)
			continue
		}
		next.pools = tried
	}
	h.logNews(was.loaded, next.loaded)
	if changes := was.loaded.Changes(next.loaded); len(changes) > 0 {
		h.tellChanges(changes)
	}
	h.applied.Store(&next)
}

// applying waits for its turn to change what holds, which release ends.
func (h *Host) applying(ctx context.Context) (release func(), err error) {
	select {
	case h.turn <- struct{}{}:
		return func() { <-h.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// logNews tells what is odd about a configuration and wasn't about another.
func (h *Host) logNews(was, now *config.Config) {
	h.logWarnings(slices.DeleteFunc(slices.Clone(now.Warnings), func(w config.Warning) bool { return slices.Contains(was.Warnings, w) }))
}
