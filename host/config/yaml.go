package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is how large a configuration may be, in bytes.
const MaxFile = 1 << 20

// The keys at the top that are no knobs.
const (
	poolsKey      = "pools"
	poolConfigKey = "pool_config"
	nameKey       = "name"
)

// readFile reads the YAML, whichever form it has.
func (r *reader) readFile() {
	if len(r.src.YAML) == 0 {
		return
	}
	top := r.document()
	if top == nil {
		return
	}
	seen := keys{}
	var pools, legacy *yaml.Node
	for key, value := range r.pairs(top, "") {
		switch key.Value {
		case poolsKey:
			pools = r.once(pools, key, value)
		case poolConfigKey:
			legacy = r.once(legacy, key, value)
		default:
			r.readKnob(key, value, "", "", seen)
		}
	}
	if pools != nil && legacy != nil {
		r.faults.add(r.at(legacy), poolConfigKey, "both pools and pool_config are given: pool_config is for one pool, pools are for several")
		return
	}
	r.readPools(pools)
	r.readLegacy(legacy)
}

// document parses the file and gives its mapping; nil where there's none.
func (r *reader) document() *yaml.Node {
	whole := Origin{Kind: FromFile, Name: r.src.File}
	if len(r.src.YAML) > MaxFile {
		r.faults.add(whole, "", "it's larger than %d KiB", MaxFile>>10)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(r.src.YAML))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) { // nothing but comments
			r.syntax(whole, err)
		}
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.faults.add(r.at(&more), "", "a second document: a file has one")
		return nil
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		r.faults.add(r.at(top), "", "want knobs, each as `name: value`")
		return nil
	}
	return top
}

// syntax notes what the parser says, with the line that it names.
func (r *reader) syntax(whole Origin, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		line, said, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(line); err == nil {
			whole.Line, text = n, said
		}
	}
	r.faults.add(whole, "", "not YAML: %s", text)
}

func (r *reader) at(n *yaml.Node) Origin {
	return Origin{Kind: FromFile, Name: r.src.File, Line: n.Line}
}

// pairs gives the keys and values of a mapping; a key that isn't text is a fault.
func (r *reader) pairs(m *yaml.Node, path string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(m.Content); i += 2 {
			key, value := m.Content[i], resolve(m.Content[i+1])
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				r.faults.add(r.at(key), path, "a key must be a plain name; what several pools share stands at the top")
				continue
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// resolve follows an alias. Values are never deeper than a list in a pool, so that
// aliases of aliases can't blow a small file up.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// once keeps a key's value, and refuses a second one.
func (r *reader) once(before, key, value *yaml.Node) *yaml.Node {
	if before != nil {
		r.faults.add(r.at(key), key.Value, "it's given twice; the first is at line %d", before.Line)
	}
	return value
}

// keys are what has been set in one place, by knob.
type keys map[string]setKey

type setKey struct {
	name  string
	line  int
	value any
}

// readKnob reads one key of the top or of a pool. What is a map under a name that
// only begins knobs' names is a group of them.
func (r *reader) readKnob(key, value *yaml.Node, prefix, pool string, seen keys) {
	name := prefix + key.Value
	f, known := r.table.named[name]
	if value.Kind == yaml.MappingNode && (!known || f.knob.Kind != Counts && f.knob.Kind != TextMap) && prefix == "" && r.table.isGroup(name) {
		for k, v := range r.pairs(value, name) {
			r.readKnob(k, v, name+"_", pool, seen)
		}
		return
	}
	at := r.at(key)
	if !known {
		r.faults.add(at, keyOf(pool, name), "%s", r.table.unknown(name, poolsKey, poolConfigKey))
		return
	}
	if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
		return // as if it weren't there
	}
	v, err := r.readNode(f, value)
	if err != nil {
		r.faults.add(r.at(value), keyOf(pool, name), "%v", err)
		return
	}
	if first, twice := seen[f.knob.Name]; twice {
		r.twice(first, f.knob, name, v, at)
		return
	}
	seen[f.knob.Name] = setKey{name, key.Line, v}
	r.put(f.knob, pool, v, at)
}

// twice refuses a knob that is set again in the same place, unless other names of
// it say the same.
func (r *reader) twice(first setKey, k *Knob, name string, v any, at Origin) {
	switch {
	case first.name == name:
		r.faults.add(at, name, "it's given twice; the first is at line %d", first.line)
	case k.format(first.value) != k.format(v):
		r.faults.add(at, name, "it's another name of %s, and %s at line %d says something else", k.Name, first.name, first.line)
	}
}

// readNode reads a knob's value.
func (r *reader) readNode(f found, n *yaml.Node) (any, error) {
	switch {
	case n.Kind == yaml.ScalarNode:
		text, err := r.expand(n.Value)
		if err != nil {
			return nil, err
		}
		return f.knob.readIn(text, f.unit)
	case n.Kind == yaml.SequenceNode && (f.knob.Kind == Ints || f.knob.Kind == Texts):
		return r.readList(f.knob, n)
	case n.Kind == yaml.MappingNode && (f.knob.Kind == Counts || f.knob.Kind == TextMap):
		return r.readMap(f.knob, n)
	}
	return nil, fmt.Errorf("want %s, not %s", f.knob.Kind.withArticle(), shape(n))
}

func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
	return "a value like " + strconv.Quote(clip(n.Value))
}

// readList reads a list of scalars.
func (r *reader) readList(k *Knob, n *yaml.Node) (any, error) {
	texts := []string{}
	for _, item := range n.Content {
		text, err := r.scalar(item)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	if k.Kind == Texts {
		return texts, k.allow(texts, "")
	}
	ints := []int{}
	for _, text := range texts {
		i, err := parseInt(text)
		if err != nil {
			return nil, err
		}
		ints = append(ints, i)
	}
	return ints, k.allow(ints, strings.Join(texts, ", "))
}

// readMap reads a map from names to scalars.
func (r *reader) readMap(k *Knob, n *yaml.Node) (any, error) {
	texts, counts := map[string]string{}, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		text, err := r.scalar(value)
		if _, twice := texts[key.Value]; err == nil && (key.Kind != yaml.ScalarNode || twice) {
			err = fmt.Errorf("the key %q, at line %d, is no name, or is given twice", clip(key.Value), key.Line)
		}
		if err == nil && k.Kind == Counts {
			counts[key.Value], err = parseInt(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clip(key.Value), err)
		}
		texts[key.Value] = text
	}
	if k.Kind == Counts {
		return counts, k.allow(counts, "a value")
	}
	return texts, k.allow(texts, "")
}

func (r *reader) scalar(n *yaml.Node) (string, error) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("want a plain value at line %d, not %s", n.Line, shape(n))
	}
	return r.expand(n.Value)
}

// readPools reads the multi-pool form: a list of maps with a name, or a map by name.
func (r *reader) readPools(n *yaml.Node) {
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null":
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if len(r.pools) >= maxPools {
				r.faults.add(r.at(item), poolsKey, "more than %d pools", maxPools)
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
		r.faults.add(r.at(n), poolsKey, "want a list of pools, each a map with a name, or a map of pools by name")
	}
}

func (r *reader) readPool(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.faults.add(r.at(n), poolsKey, "want a map with the pool's name and its knobs, not %s", shape(n))
		return
	}
	i := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Value == nameKey })
	if i < 0 || i%2 != 0 || resolve(n.Content[i+1]).Kind != yaml.ScalarNode {
		r.faults.add(r.at(n), poolsKey, "the pool has no name")
		return
	}
	name, err := r.expand(resolve(n.Content[i+1]).Value)
	if err != nil {
		r.faults.add(r.at(n), "pools.name", "%v", err)
		return
	}
	if r.declare(name, r.at(n.Content[i])) {
		r.readPoolKnobs(name, n)
	}
}

func (r *reader) readPoolKnobs(pool string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.faults.add(r.at(n), keyOf(pool, "")+"*", "want the pool's knobs, not %s", shape(n))
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
