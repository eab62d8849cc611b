package config

import (
	"bytes"
	"errors"
	"io"
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
		r.fault(r.at(legacy), poolConfigKey, "both pools and pool_config are given: pool_config is for one pool, pools are for several")
		return
	}
	r.readPools(pools)
	r.readLegacy(legacy)
}

// document parses the file and gives its mapping; nil where there's none.
func (r *reader) document() *yaml.Node {
	whole := Origin{Kind: FromFile, Name: r.src.File}
	if len(r.src.YAML) > MaxFile {
		r.fault(whole, "", "it's larger than %d KiB", MaxFile>>10)
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
		r.fault(r.at(&more), "", "a second document: a file has one")
		return nil
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil
	}
	if top.Kind != yaml.MappingNode {
		r.fault(r.at(top), "", "want knobs, each as `name: value`")
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
	r.fault(whole, "", "not YAML: %s", text)
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
				r.fault(r.at(key), path, "a key must be a plain name; what several pools share stands at the top")
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
		r.fault(r.at(key), key.Value, "it's given twice; the first is at line %d", before.Line)
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
		r.fault(at, keyOf(pool, name), "%s", r.table.unknown(name, poolsKey, poolConfigKey))
		return
	}
	if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
		return // as if it weren't there
	}
	v, err := r.readNode(f, value)
	if err != nil {
		r.fault(r.at(value), keyOf(pool, name), "%v", err)
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
		r.fault(at, name, "it's given twice; the first is at line %d", first.line)
	case k.format(first.value) != k.format(v):
		r.fault(at, name, "it's another name of %s, and %s at line %d says something else", k.Name, first.name, first.line)
	}
}
