package config

import (
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/proto/names"
)

// Sources are where a configuration comes from. A later field goes before an
// earlier one, wherever the value stands in it.
type Sources struct {
	File    string   // the name of the file, for messages; relative paths in it are relative to its folder
	YAML    []byte   // its content; nil: there's no file
	Environ []string // KEY=value; what begins with SNAKEPIT_ is a knob, and ${KEY} in the file stands for its value
	Flags   []Flag   // of the command line, or of a Go program
	Pools   []Named  // the multi-pool form of a Go program
	// Overrides are what is set for all hosts of a cluster. They lie over all the others;
	// what this host can't take of them is a warning.
	Overrides Overrides
}

// Flag sets a knob.
type Flag struct {
	Name string // as whoever gave it knows it: "--set", "--workers", "Workers"
	Pair string // knob=value, or pools.NAME.knob=value
	One  bool   // it's for the single-pool form alone
}

// Named is a pool that a Go program names.
type Named struct {
	Name  string
	Flags []Flag
}

// Config is a checked configuration.
type Config struct {
	Settings           // of the host; a pool's knobs have here what is shared
	File     string    // where it's from; empty: no file
	Pools    []Pool    // none: nobody named an adapter
	Warnings []Warning // what is odd but not wrong
	Multi    bool      // the pools were named, each with settings of its own

	origins map[string]Origin
}

// Pool is one pool.
type Pool struct {
	Name     string
	Settings Settings

	origins   map[string]Origin
	overrides []Override
}

// Warning is something that's odd but not wrong.
type Warning Fault

// String is the warning with where it stands.
func (w Warning) String() string { return Fault(w).String() }

// knob is what it's about.
func (w Warning) knob() string { return w.Key[strings.LastIndexByte(w.Key, '.')+1:] }

// Origin says where the value of a host's or shared knob comes from.
func (c *Config) Origin(knob string) Origin { return c.origins[knob] }

// Origin says where the value of a pool's knob comes from.
func (p Pool) Origin(knob string) Origin { return p.origins[knob] }

// Overrides are the knobs of the pool that are set for all hosts, sorted by name.
func (p Pool) Overrides() []Override { return slices.Clone(p.overrides) }

// Load makes one configuration of its sources. On error nothing is returned, and
// the error, invalid_config, names everything that's wrong with where it stands.
func Load(src Sources) (*Config, error) {
	r := &reader{table: newTable(), src: src, env: lookup(src.Environ)}
	r.readFile()
	r.readEnviron()
	r.readFlags()
	c := r.assemble()
	if err := asError(r.faults); err != nil {
		return nil, err
	}
	r.override(c)
	return c, nil
}

// reader gathers what the sources set.
type reader struct {
	table  *table
	src    Sources
	env    func(string) (string, bool)
	faults Faults

	entries []entry // from the weakest to the strongest
	over    []entry // what goes before all those
	pools   []declared
}

// entry is one knob that is set.
type entry struct {
	knob   *Knob
	value  any
	pool   string // empty: shared
	origin Origin
}

// declared is a pool that has been named.
type declared struct {
	name   string
	origin Origin
}

// key is what a knob of the pool is called in a message.
func (p declared) key(knob string, multi bool) string {
	if !multi {
		return knob
	}
	return keyOf(p.name, knob)
}

// maxPools bounds what one file may ask for.
const maxPools = 1000

// declare notes a pool's name, and reports whether it can be one.
func (r *reader) declare(name string, at Origin) bool {
	twice := slices.IndexFunc(r.pools, func(d declared) bool { return d.name == name })
	switch {
	case !names.Valid(name):
		r.fault(at, "pools", "a pool can't be called %q: want 1 to 64 letters, digits, '_', '.' and '-', a letter or digit first", clip(name))
	case twice >= 0:
		r.fault(at, "pools", "two pools are called %s; the other one is at %s", name, r.pools[twice].origin)
	case len(r.pools) == maxPools:
		r.fault(at, "pools", "more than %d pools", maxPools)
	default:
		r.pools = append(r.pools, declared{name, at})
		return true
	}
	return false
}

// put notes a value, which may be nil where it couldn't be read. The same knob
// twice in one place is an error unless both say the same.
func (r *reader) put(k *Knob, pool string, value any, at Origin) {
	if pool != "" && k.Scope == OfHost {
		r.fault(at, k.Name, "it's the host's: set it at the top, not with a pool")
		return
	}
	r.entries = append(r.entries, entry{k, value, pool, at})
}

// readText reads a value that stands as text under any of its knob's names.
func (r *reader) readText(name, text, pool string, at Origin, others ...string) {
	f, ok := r.table.named[name]
	if !ok {
		r.fault(at, keyOf(pool, name), "%s", r.table.unknown(name, others...))
		return
	}
	v, err := f.knob.readIn(text, f.unit)
	if err != nil {
		r.fault(at, keyOf(pool, name), "%v", err)
		return
	}
	r.put(f.knob, pool, v, at)
}

func keyOf(pool, name string) string {
	if pool == "" {
		return name
	}
	return "pools." + pool + "." + name
}

// readFlags reads the pairs of the command line, or of a Go program: those that are
// shared, then those of its pools.
func (r *reader) readFlags() {
	for _, f := range r.src.Flags {
		r.readPair(f, "")
	}
	for _, p := range r.src.Pools {
		if len(r.src.YAML) > 0 && slices.ContainsFunc(r.pools, func(d declared) bool { return d.origin.Kind == FromFile }) {
			r.fault(Origin{Kind: FromFlag, Name: "Pools"}, "pools", "%s has pools already; name them in one place", r.src.File)
			return
		}
		if r.declare(p.Name, Origin{Kind: FromFlag, Name: "Pools"}) {
			for _, f := range p.Flags {
				r.readPair(f, p.Name)
			}
		}
	}
}

func (r *reader) readPair(f Flag, pool string) {
	at := Origin{Kind: FromFlag, Name: f.Name}
	if several := len(r.pools) + len(r.src.Pools); f.One && pool == "" && several > 0 {
		r.fault(at, "", "it's for one pool, and several are named: set it with each of them")
		return
	}
	name, value, ok := strings.Cut(f.Pair, "=")
	if !ok {
		r.fault(at, "", "%q isn't knob=value", clip(f.Pair))
		return
	}
	name = strings.TrimSpace(name)
	if rest, ok := strings.CutPrefix(name, "pools."); ok && pool == "" {
		dot := strings.LastIndexByte(rest, '.')
		if dot < 0 || !slices.ContainsFunc(r.pools, func(d declared) bool { return d.name == rest[:dot] }) {
			r.fault(at, "", "%q names no pool that there is: want pools.NAME.knob=value", clip(f.Pair))
			return
		}
		pool, name = rest[:dot], rest[dot+1:]
	}
	r.readText(name, value, pool, at)
}
