package config

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// readPools reads the multi-pool form: a list of maps with a name, or a map by name.
func (r *reader) readPools(n *yaml.Node) {
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null":
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if len(r.pools) >= maxPools {
				r.fault(r.at(item), poolsKey, "more than %d pools", maxPools)
				return
			}
			r.readPool(resolve(item))
		}
	case n.Kind == yaml.MappingNode:
		for key, value := range r.pairs(n, poolsKey) {
			if r.declare(key.Value, r.at(key)) {
				r.readPoolKnobs(key.Value, value)
			}
		}
	default:
		r.fault(r.at(n), poolsKey, "want a list of pools, each a map with a name, or a map of pools by name")
	}
}

func (r *reader) readPool(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fault(r.at(n), poolsKey, "want a map with the pool's name and its knobs, not %s", shape(n))
		return
	}
	i := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Value == nameKey })
	if i < 0 || i%2 != 0 || resolve(n.Content[i+1]).Kind != yaml.ScalarNode {
		r.fault(r.at(n), poolsKey, "the pool has no name")
		return
	}
	name, err := r.expand(resolve(n.Content[i+1]).Value)
	if err != nil {
		r.fault(r.at(n), "pools.name", "%v", err)
		return
	}
	if r.declare(name, r.at(n.Content[i])) {
		r.readPoolKnobs(name, n)
	}
}

func (r *reader) readPoolKnobs(pool string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fault(r.at(n), keyOf(pool, "")+"*", "want the pool's knobs, not %s", shape(n))
		return
	}
	seen := keys{}
	for key, value := range r.pairs(n, poolsKey) {
		if key.Value != nameKey {
			r.readKnob(key, value, "", pool, seen)
		}
	}
}

// readLegacy reads pool_config, the older single-pool form: its knobs lie over
// those at the top, but for pool_size and the adapter, where the top's go first.
func (r *reader) readLegacy(n *yaml.Node) {
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	top := len(r.entries)
	r.readPoolKnobs(defaultPool, n)
	own := slices.Clone(r.entries[top:])
	r.entries = r.entries[:top]
	for _, e := range own {
		first := e.knob.Name == "pool_size" || e.knob.Name == "adapter"
		if first && slices.ContainsFunc(r.entries[:top], func(t entry) bool { return t.knob == e.knob }) {
			continue
		}
		if first {
			e.pool = ""
		}
		r.entries = append(r.entries, e)
	}
}
