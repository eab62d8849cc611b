package config

import (
	"slices"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Change is a knob whose value differs between two configurations.
type Change struct {
	Pool     string // empty: the host's
	Knob     string // or "pools", where a pool is new or gone
	Old, New string
	Effect   Effect // what it takes for the new value to hold
}

// Reload is what came of a configuration that was read again while its host runs.
type Reload struct {
	Changes  []Change // those that need a restart were left as they are
	Warnings []Warning
	Failures []*errdefs.Error // of pools whose new workers can't start: the old ones serve on
}

// Changes are the knobs that differ. A pool that only one of them has is one
// change, which needs a restart.
func (c *Config) Changes(next *Config) []Change {
	found := changes("", c.Values(), next.Values())
	for _, p := range c.Pools {
		i := next.index(p.Name)
		if i < 0 {
			found = append(found, Change{p.Name, poolsKey, "there", "gone", ByRestart})
			continue
		}
		found = append(found, changes(p.Name, p.Values(), next.Pools[i].Values())...)
	}
	for _, n := range next.Pools {
		if c.index(n.Name) < 0 {
			found = append(found, Change{n.Name, poolsKey, "absent", "new", ByRestart})
		}
	}
	return found
}

func (c *Config) index(pool string) int {
	return slices.IndexFunc(c.Pools, func(p Pool) bool { return p.Name == pool })
}

func changes(pool string, old, now []Value) []Change {
	var found []Change
	for i := range min(len(old), len(now)) {
		if old[i].raw != now[i].raw {
			found = append(found, Change{pool, now[i].Knob.Name, old[i].YAML, now[i].YAML, now[i].Knob.Effect})
		}
	}
	return found
}

// WithWorkersOf is the configuration with what a pool's workers are as another has it.
func (c *Config) WithWorkersOf(other *Config, pool string) *Config {
	i, j := c.index(pool), other.index(pool)
	if i < 0 || j < 0 {
		return c
	}
	mixed := *c
	mixed.Pools = slices.Clone(c.Pools)
	for _, k := range Knobs() {
		if k.Effect == ByWorkers {
			k.put(&mixed.Pools[i].Settings, k.get(&other.Pools[j].Settings))
		}
	}
	return &mixed
}

// WithPoolOf is the configuration with a pool as another has it.
func (c *Config) WithPoolOf(other *Config, pool string) *Config {
	i, j := c.index(pool), other.index(pool)
	if i < 0 || j < 0 {
		return c
	}
	mixed := *c
	mixed.Pools = slices.Clone(c.Pools)
	mixed.Pools[i] = other.Pools[j]
	return &mixed
}
