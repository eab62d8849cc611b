package config

import (
	"slices"
)

// draft is settings in the making, with where each came from.
type draft struct {
	table   *table
	values  Settings
	origins map[string]Origin
}

func (r *reader) newDraft(pool string) *draft {
	d := &draft{table: r.table, values: r.table.defaults(), origins: map[string]Origin{}}
	for _, kind := range []OriginKind{FromFile, FromEnviron, FromFlag} {
		d.lay(r.entries, kind, "")
		if pool != "" {
			d.lay(r.entries, kind, pool)
		}
	}
	for _, e := range r.over {
		e.knob.put(&d.values, e.value)
		d.origins[e.knob.Name] = e.origin
	}
	d.applyProfile()
	return d
}

// lay lays what a source says of a pool, or of all, over what was there.
func (d *draft) lay(entries []entry, kind OriginKind, pool string) {
	for _, e := range entries {
		if e.origin.Kind == kind && e.pool == pool {
			e.knob.set(&d.values, e.value)
			d.origins[e.knob.Name] = e.origin
		}
	}
}

// isSet reports whether somebody has set a knob.
func (d *draft) isSet(knob string) bool {
	o, ok := d.origins[knob]
	return ok && o.Kind != Derived
}

// derive sets a knob that nobody has set.
func (d *draft) derive(knob string, value any, from string) {
	if d.isSet(knob) {
		return
	}
	d.table.named[knob].knob.set(&d.values, value)
	d.origins[knob] = Origin{Kind: Derived, Name: from}
}

// defaultPool is the name of the one pool of the single-pool form.
const defaultPool = "default"

// assemble brings both forms into one.
func (r *reader) assemble() *Config {
	shared := r.newDraft("")
	c := &Config{File: r.src.File, Multi: len(r.pools) > 0}
	if len(r.src.YAML) == 0 {
		c.File = ""
	}
	r.oneForm()
	if !c.Multi && shared.values.Adapter != "" {
		r.pools = []declared{{defaultPool, shared.origins["adapter"]}}
	}
	rules := &rules{reader: r, config: c}
	for _, p := range r.pools {
		d := r.newDraft(p.name)
		rules.judge(d, p, c.Multi)
		c.Pools = append(c.Pools, Pool{Name: p.name, Settings: d.values, origins: d.origins})
	}
	if len(c.Pools) == 0 {
		rules.judge(shared, declared{}, false)
	}
	rules.judgeHost(shared)
	c.Settings, c.origins = shared.values, shared.origins
	return c
}

// oneForm refuses an adapter at the top beside pools.
func (r *reader) oneForm() {
	if len(r.pools) == 0 {
		return
	}
	i := slices.IndexFunc(r.entries, func(e entry) bool { return e.pool == "" && e.knob.Name == "adapter" })
	if i >= 0 {
		r.fault(r.entries[i].origin, "adapter", "both an adapter and pools are given: an adapter at the top is for one pool, pools are for several")
	}
}
