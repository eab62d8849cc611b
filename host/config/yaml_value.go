package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

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
