package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Overrides are knobs and their values, by pool, that hold on all hosts of a cluster
// in place of what each one's own configuration has.
type Overrides map[string]map[string]string

// Override is one knob that is set for all hosts, as one of them sees it.
type Override struct {
	Pool, Knob string
	Value      string // as it's set
	Own        string // what the host's own configuration has
	From       Origin // where that is from
	Holds      bool   // the host takes it
	Note       string // why it doesn't, or takes it in part; empty: nothing is wrong
}

// CanOverride reports whether a knob may be set for all hosts: one of a pool whose new
// value holds at once. What workers are is each host's own business, where their code is.
func (k Knob) CanOverride() bool { return k.Scope == OfPool && k.Effect == Live }

// Overridable are the names of those knobs.
func Overridable() (names []string) {
	for _, k := range Knobs() {
		if k.CanOverride() {
			names = append(names, k.Name)
		}
	}
	return names
}

// ReadOverrides checks knobs that are to be set for a pool on all hosts, which may have
// any of their names, and gives them by the table's names, with values as the table
// writes them. The error, invalid_config, names everything that's wrong.
func ReadOverrides(pool string, knobs map[string]string) (map[string]string, error) {
	r := &reader{table: newTable()}
	read := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(knobs)) {
		e, why := r.readOverride(pool, name, knobs[name])
		if why == "" {
			if _, twice := read[e.knob.Name]; twice {
				why = "it's set twice: it's another name of " + e.knob.Name
			}
		}
		if why != "" {
			r.fault(Origin{}, keyOf(pool, clip(name)), "%s", why)
			continue
		}
		read[e.knob.Name] = e.knob.format(e.value)
	}
	return read, overrideError(r.faults)
}

// Canonical is the table's name of a knob, which may be given by any. The error,
// invalid_config, says which one was meant.
func Canonical(name string) (string, error) {
	t := newTable()
	f, ok := t.named[name]
	if !ok {
		return "", overrideError(Faults{{Text: t.unknown(name)}})
	}
	return f.knob.Name, nil
}

// Overridden is a knob of the pool that is set for all hosts to a value.
func (p Pool) Overridden(knob, value string) Override {
	i := slices.IndexFunc(p.overrides, func(o Override) bool { return o.Knob == knob })
	switch {
	case i < 0:
		return Override{Pool: p.Name, Knob: knob, Value: value, Own: p.yamlOf(knob), From: p.Origin(knob), Note: "it isn't applied yet"}
	case p.overrides[i].Value != value:
		o := p.overrides[i]
		o.Value, o.Holds, o.Note = value, false, "it isn't applied yet"
		return o
	}
	return p.overrides[i]
}

// overrideError is nothing, or one error that also says what could be set.
func overrideError(faults Faults) error {
	err := asError(faults)
	if err == nil {
		return nil
	}
	e := errdefs.Of(err)
	e.Hint = "these can be set for all hosts: " + strings.Join(Overridable(), ", ")
	return e
}

// readOverride reads one knob, or says why it can't be.
func (r *reader) readOverride(pool, name, text string) (e entry, why string) {
	f, ok := r.table.named[name]
	switch {
	case !ok:
		return entry{}, r.table.unknown(name)
	case f.knob.Scope == OfHost:
		return entry{}, "it's each host's own, and no pool's"
	case !f.knob.CanOverride():
		return entry{}, "it says what workers are, which each host's own configuration does: its new value takes new workers"
	}
	v, err := f.knob.readIn(text, f.unit)
	if err != nil {
		return entry{}, err.Error()
	}
	return entry{f.knob, v, pool, overridden()}, ""
}

// override lays what is set for all hosts over the pools. What this host can't take
// is left as its own configuration has it, with a warning: the others may be able to.
func (r *reader) override(c *Config) {
	for i, p := range r.pools {
		if knobs := r.src.Overrides[p.name]; len(knobs) > 0 {
			c.Pools[i] = r.overridden(c, p, c.Pools[i], knobs)
		}
	}
}

// overridden is a pool with as much of its overrides as goes with the rest.
func (r *reader) overridden(c *Config, p declared, own Pool, knobs map[string]string) Pool {
	var wanted []entry
	refused := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(knobs)) {
		e, why := r.readOverride(p.name, name, knobs[name])
		if why != "" { // it's of a program that knows more, or less
			refused[name] = why
			continue
		}
		wanted = append(wanted, e)
	}
	t := r.fitting(p, c.Multi, wanted, refused)
	t.pool.overrides = t.noted(own, knobs, refused, c.CallTimeout)
	for _, w := range t.warnings {
		if !slices.Contains(c.Warnings, w) {
			c.Warnings = append(c.Warnings, w)
		}
	}
	for _, o := range t.pool.overrides {
		if !o.Holds {
			c.Warnings = append(c.Warnings, Warning{overridden(), p.key(o.Knob, c.Multi), "set for all hosts, it doesn't hold on this one: " + o.Note})
		}
	}
	return t.pool
}

// trial is a pool with some overrides over it.
type trial struct {
	pool     Pool
	warnings []Warning
	faults   Faults
}

func (r *reader) try(p declared, multi bool, over []entry) trial {
	t := *r
	t.faults, t.over = nil, over
	judged := &Config{}
	d := t.newDraft(p.name)
	(&rules{reader: &t, config: judged}).judge(d, p, multi)
	return trial{Pool{Name: p.name, Settings: d.values, origins: d.origins}, judged.Warnings, t.faults}
}

// fitting takes all overrides, or else as many as go with each other and with what
// the host itself configures, and says why the rest don't.
func (r *reader) fitting(p declared, multi bool, wanted []entry, refused map[string]string) trial {
	best := r.try(p, multi, wanted)
	if len(best.faults) == 0 {
		return best
	}
	best = r.try(p, multi, nil)
	var taken []entry
	for grown := true; grown; { // some go only where others went before
		grown = false
		for _, e := range wanted {
			if slices.ContainsFunc(taken, func(t entry) bool { return t.knob == e.knob }) {
				continue
			}
			t := r.try(p, multi, append(slices.Clip(taken), e))
			if len(t.faults) > 0 {
				refused[e.knob.Name] = t.faults[0].String()
				continue
			}
			delete(refused, e.knob.Name)
			best, taken, grown = t, append(taken, e), true
		}
	}
	return best
}

// noted are the overrides with what there's to say of each.
func (t *trial) noted(own Pool, knobs, refused map[string]string, callTimeout time.Duration) (all []Override) {
	notes := maps.Clone(refused)
	if _, no := refused["queue_timeout"]; !no && t.pool.Origin("queue_timeout").Kind == FromOverride && t.pool.Settings.QueueTimeout >= callTimeout {
		notes["queue_timeout"] = "it never comes to its end: call_timeout, around it, is " + formatDuration(callTimeout)
	}
	for _, w := range t.warnings {
		if w.Origin.Kind == FromOverride {
			notes[w.knob()] = w.Text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(knobs)) {
		_, no := refused[name]
		all = append(all, Override{
			Pool: own.Name, Knob: name, Value: knobs[name], Own: own.yamlOf(name), From: own.Origin(name), Holds: !no, Note: notes[name],
		})
	}
	return all
}

// yamlOf is a knob's value as a file would have it; empty: there's no such knob.
func (p Pool) yamlOf(knob string) string {
	for _, v := range p.Values() {
		if v.Knob.Name == knob {
			return v.YAML
		}
	}
	return ""
}

// overridden is where an override's value is from.
func overridden() Origin { return Origin{Kind: FromOverride, Name: string(FromOverride)} }
