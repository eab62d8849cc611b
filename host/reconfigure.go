package host

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// PoolChange says what became of a pool's new configuration.
type PoolChange struct {
	Pool    string
	Changed []string // the fields of PoolConfig that differ and hold now, in their order
	Reload  bool     // its workers were replaced, since their command or settings are among them
	Refused []string // what needs a restart of the host, in words
	Err     error    // why the workers couldn't be replaced; the former ones serve on
}

// Reconfigure gives the pools a new configuration while they run. All of it is
// checked first: one that isn't valid changes nothing, and fails with
// invalid_config. Then each pool takes its own over at once: a smaller one drains
// workers, shorter timeouts hold for the calls that come. Where the command or the
// settings of its workers have changed, these are replaced as by [Host.Reload],
// which Reconfigure waits for; when the new ones can't start, the former command and
// settings are put back. Pools are neither added nor removed: that is refused.
//
// It returns one change for each pool that differs, sorted by name. When ctx ends,
// what is done stays done. Errors: invalid_config, draining, and ctx's.
func (h *Host) Reconfigure(ctx context.Context, pools []PoolConfig) ([]PoolChange, error) {
	cfg := h.cfg
	cfg.Pools = pools
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	select {
	case h.reconfiguring <- struct{}{}:
		defer func() { <-h.reconfiguring }()
	case <-ctx.Done():
		return nil, ended(ctx, "while another configuration was applied")
	}
	changes := h.membership(cfg.Pools)
	for i := range cfg.Pools {
		p := h.pools[cfg.Pools[i].Name]
		if p == nil {
			continue
		}
		c, err := p.reconfigure(ctx, h.stopped, &cfg.Pools[i])
		if err != nil {
			return changes, err
		}
		if len(c.Changed) > 0 {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(a, b PoolChange) int { return strings.Compare(a.Pool, b.Pool) })
	return changes, nil
}

// membership refuses pools that are new or gone.
func (h *Host) membership(pools []PoolConfig) []PoolChange {
	changes := []PoolChange{}
	named := map[string]bool{}
	for _, c := range pools {
		named[c.Name] = true
		if h.pools[c.Name] == nil {
			changes = append(changes, PoolChange{Pool: c.Name, Refused: []string{"the pool is new"}})
		}
	}
	for _, p := range h.order {
		if !named[p.name] {
			changes = append(changes, PoolChange{Pool: p.name, Refused: []string{"the pool isn't wanted any more"}})
		}
	}
	return changes
}

// reconfigure gives a pool its new configuration, and replaces its workers where
// that takes new ones.
func (p *pool) reconfigure(ctx context.Context, stopped <-chan struct{}, cfg *PoolConfig) (PoolChange, error) {
	old := p.cfg()
	c := PoolChange{Pool: p.name, Changed: differing(*old, *cfg), Reload: outdates(old, cfg)}
	if len(c.Changed) == 0 {
		return c, nil
	}
	if err := p.tell(ctx, stopped, func(_ context.Context, st *steward) { st.adopt(cfg) }); err != nil {
		return c, err
	}
	p.log.Info("pool reconfigured", "changed", c.Changed)
	if !c.Reload {
		return c, nil
	}
	c.Err = p.reloadAll(ctx, stopped, nil)
	if c.Err == nil || givenUp(c.Err) {
		return c, nil
	}
	former := *cfg
	former.Command, former.Settings = old.Command, old.Settings
	return c, p.tell(ctx, stopped, func(_ context.Context, st *steward) { st.adopt(&former) })
}

// givenUp reports whether a reload ended for no fault of the new workers.
func givenUp(err error) bool {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // every other reason is the workers'
	case errdefs.Draining, errdefs.Deadline, errdefs.Cancelled:
		return true
	}
	return false
}

// differing names the fields in which two configurations differ.
func differing(a, b PoolConfig) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, x.Type().Field(i).Name)
		}
	}
	return names
}

// outdates reports whether workers of the old configuration are none of the new. How
// long a stop may take is the host's business alone.
func outdates(old, cfg *PoolConfig) bool {
	settings, command := old.Settings, old.Command
	settings.StopTimeout = cfg.Settings.StopTimeout
	command.Sources, command.Hints = cfg.Command.Sources, cfg.Command.Hints
	return !reflect.DeepEqual(command, cfg.Command) || !reflect.DeepEqual(settings, cfg.Settings)
}

// adopt makes a configuration the pool's.
func (st *steward) adopt(cfg *PoolConfig) {
	p := st.pool
	was := p.conf.Swap(cfg)
	st.trend.unsteady = true // what was observed meant another pool
	p.mu.Lock()
	by := cfg.fitted(p.want) - p.want
	if was.Recycle != cfg.Recycle {
		for _, m := range p.members {
			m.begin(cfg.Recycle)
		}
	}
	p.mu.Unlock()
	switch {
	case by > 0:
		p.resize(by, EventPoolGrown)
	case by < 0:
		p.resize(by, EventPoolShrunk)
	}
}
