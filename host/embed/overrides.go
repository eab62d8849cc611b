package embed

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// overrideTries is how often a change of a pool's overrides is begun anew since somebody
// else has changed them meanwhile.
const overrideTries = 10

var _ rpc.PoolOverrides = (*Host)(nil)

// SetPoolOverrides sets knobs of the pools of a name on all hosts of the cluster, in
// place of what each one's own configuration has, and gives all that is set for the
// pool, as this host takes it. It returns when that's durable; the hosts, this one
// too, take it within moments. What's wrong with it changes nothing: knobs that can't
// be set so, and those that don't go with this host's own configuration. A host by
// itself is a cluster of one.
//
// Errors: invalid_config, with everything that's wrong; pool_not_found where no host
// that is up has the pool; conflict for a host without a data directory; no_quorum;
// those of cluster.Node.SetPoolOverride.
func (h *Host) SetPoolOverrides(ctx context.Context, pool string, knobs map[string]string) ([]config.Override, error) {
	if len(knobs) == 0 {
		return nil, errdefs.New(errdefs.InvalidArguments, "no knob is given")
	}
	if err := h.pooled(pool); err != nil {
		return nil, err
	}
	added, err := config.ReadOverrides(pool, knobs)
	if err != nil {
		return nil, err
	}
	var set []config.Override
	err = h.changeOverrides(ctx, pool, func(former map[string]string) (map[string]string, error) {
		next := map[string]string{}
		maps.Copy(next, former)
		maps.Copy(next, added)
		set, err = h.fit(pool, former, next)
		return next, err
	})
	return set, err
}

// UnsetPoolOverrides goes back to what each host's own configuration has, for some knobs
// of a pool or, where none is named, for all that are set, and gives those that were
// set. Errors: as of SetPoolOverrides; what was set for a pool that's gone can be unset.
func (h *Host) UnsetPoolOverrides(ctx context.Context, pool string, knobs ...string) (removed []string, err error) {
	err = h.changeOverrides(ctx, pool, func(former map[string]string) (map[string]string, error) {
		if len(former) == 0 {
			if err := h.pooled(pool); err != nil {
				return nil, err
			}
		}
		named, err := namedIn(former, knobs)
		if err != nil {
			return nil, err
		}
		next := maps.Clone(former)
		removed = nil
		for _, knob := range named {
			if _, ok := next[knob]; ok {
				delete(next, knob)
				removed = append(removed, knob)
			}
		}
		_, err = h.fit(pool, former, next)
		return next, err
	})
	return removed, err
}

// namedIn are the knobs that are meant, by the table's names: all that are set where
// none is named.
func namedIn(former map[string]string, knobs []string) (named []string, err error) {
	for _, knob := range knobs {
		if _, ok := former[knob]; !ok { // or it's one that this program doesn't know
			if knob, err = config.Canonical(knob); err != nil {
				return nil, err
			}
		}
		named = append(named, knob)
	}
	if len(knobs) == 0 {
		named = slices.Collect(maps.Keys(former))
	}
	slices.Sort(named)
	return slices.Compact(named), nil
}

// PoolOverrides lists what is set for all hosts, sorted by pool and knob, and says how
// this one takes it.
func (h *Host) PoolOverrides() (all []config.Override) {
	if h.registry == nil {
		return nil
	}
	now := h.applied.Load().loaded
	over := h.registry.PoolOverrides()
	for _, pool := range slices.Sorted(maps.Keys(over)) {
		all = append(all, taken(now, pool, over[pool])...)
	}
	return all
}

// taken says how a configuration takes what is set for a pool.
func taken(c *config.Config, pool string, knobs map[string]string) (all []config.Override) {
	i := slices.IndexFunc(c.Pools, func(p config.Pool) bool { return p.Name == pool })
	for _, knob := range slices.Sorted(maps.Keys(knobs)) {
		o := config.Override{Pool: pool, Knob: knob, Value: knobs[knob], Note: "this host has no such pool"}
		if i >= 0 {
			o = c.Pools[i].Overridden(knob, o.Value)
		}
		all = append(all, o)
	}
	return all
}

// pooled fails where no host that is up has a pool.
func (h *Host) pooled(pool string) error {
	known := map[string]bool{}
	for _, p := range h.applied.Load().pools {
		known[p.Name] = true
	}
	if h.registry != nil {
		for _, t := range h.registry.NodeTools() {
			known[t.Pool] = known[t.Pool] || t.Pool != ""
		}
	}
	if known[pool] {
		return nil
	}
	e := errdefs.New(errdefs.PoolNotFound, "no host that is up has a pool named %q", names.Cut(pool))
	e.Hint = nearest.Hint(pool, maps.Keys(known))
	return e
}

// changeOverrides puts what change makes of a pool's overrides in their place, unless
// that's the same.
func (h *Host) changeOverrides(ctx context.Context, pool string, change func(former map[string]string) (map[string]string, error)) error {
	if h.registry == nil {
		e := errdefs.New(errdefs.Conflict, "this host keeps nothing: what is set would be forgotten")
		e.Hint = "start it with a data directory: --data-dir DIR"
		return e
	}
	for range overrideTries {
		if err := h.agree(ctx); err != nil {
			return err
		}
		former := h.registry.PoolOverrides()[pool]
		next, err := change(former)
		if err != nil || maps.Equal(former, next) {
			return err
		}
		err = h.registry.ChangePoolOverride(ctx, pool, former, next)
		if errdefs.ReasonOf(err) != errdefs.Conflict {
			return err
		}
	}
	return errdefs.New(errdefs.Conflict, "the overrides of pool %q keep changing: others change them too", names.Cut(pool))
}

// agree waits, for as long as it makes sense, until this node knows all that was set.
func (h *Host) agree(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	err := h.registry.Consistent(asking)
	if err == nil || asking.Err() == nil || ctx.Err() != nil {
		return err
	}
	e := errdefs.Wrap(errdefs.NoQuorum, err, "no majority of the nodes is reached, and nothing has changed")
	e.Hint = "`snakepit cluster status` says which nodes don't answer, and what to do"
	return e
}

// fit says how this host would take what is to be set for a pool, in place of what is
// set. It refuses what this host can't take, but for what it couldn't before either. A
// pool that this host doesn't have is for the others to judge.
func (h *Host) fit(pool string, former, next map[string]string) ([]config.Override, error) {
	src := h.applied.Load().src
	was, err := load(src, config.Overrides{pool: former})
	if err != nil {
		return nil, err
	}
	will, err := load(src, config.Overrides{pool: next})
	if err != nil {
		return nil, err
	}
	all := taken(will, pool, next)
	if !slices.ContainsFunc(will.Pools, func(p config.Pool) bool { return p.Name == pool }) {
		return all, nil
	}
	var wrong []string
	for _, o := range all {
		if before, ok := former[o.Knob]; !o.Holds && (!ok || before != o.Value || taken(was, pool, map[string]string{o.Knob: before})[0].Holds) {
			wrong = append(wrong, "pools."+pool+"."+o.Knob+": "+o.Note)
		}
	}
	if len(wrong) == 0 {
		return all, nil
	}
	e := errdefs.New(errdefs.InvalidConfig, "it doesn't go with the rest: %s", strings.Join(wrong, "; "))
	e.Hint = "set, or unset, together what belongs together; `snakepit pools overrides` lists what is set"
	return nil, e
}
