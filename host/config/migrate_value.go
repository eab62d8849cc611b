package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/host/config/exs"
)

// yamlOf is an Elixir value as the knob's YAML.
func (f found) yamlOf(v exs.Value) (string, error) {
	if v.Kind == exs.Env {
		return f.fromEnv(v)
	}
	switch f.knob.Kind {
	case Ints, Texts:
		if v.Kind == exs.List {
			return f.list(v.Items)
		}
	case TextMap, Counts:
		return f.mapping(v)
	case Int, Number, Bytes, Duration, Bool, Text, Choice:
	}
	text, err := scalarOf(v)
	if err != nil {
		return "", err
	}
	value, err := f.knob.readIn(text, f.unit)
	if err != nil {
		return "", err
	}
	return f.knob.yaml(value), nil
}

// fromEnv is ${NAME:-default}, with the unit that the number had.
func (f found) fromEnv(v exs.Value) (string, error) {
	if !isVariable(v.Text) || strings.ContainsAny(v.Default, "}\n") {
		return "", fmt.Errorf("System.get_env(%q, %q) can't be written as ${NAME:-default}", clip(v.Text), clip(v.Default))
	}
	if f.knob.Kind == TextMap || f.knob.Kind == Counts {
		return "", errors.New("want a map, not a variable")
	}
	if _, err := f.knob.readIn(v.Default, f.unit); err != nil {
		return "", err
	}
	unit := string(f.unit)
	if inUnit(v.Default, f.unit) == strings.TrimSpace(v.Default) {
		unit = "" // the default is a word, or brings a unit of its own
	}
	return strconv.Quote("${" + v.Text + ":-" + v.Default + "}" + unit), nil
}

// scalarOf is a plain value as text: {30, :minutes} is "30 minutes".
func scalarOf(v exs.Value) (string, error) {
	switch v.Kind {
	case exs.Bool, exs.Number, exs.Text, exs.Atom:
		if !utf8.ValidString(v.Text) {
			return "", errors.New("it isn't UTF-8")
		}
		return v.Text, nil
	case exs.Tuple:
		if len(v.Items) == 2 && v.Items[0].Kind == exs.Number && v.Items[1].Kind == exs.Atom {
			return v.Items[0].Text + " " + v.Items[1].Text, nil
		}
	case exs.Unread, exs.Nil, exs.Module, exs.List, exs.Map, exs.Env:
	}
	return "", errors.New("it's no plain value")
}

func (f found) list(items []exs.Value) (string, error) {
	texts := []string{}
	for _, item := range items {
		text, err := scalarOf(item)
		if err != nil {
			return "", err
		}
		texts = append(texts, text)
	}
	if f.knob.Kind == Texts {
		return f.knob.yaml(texts), nil
	}
	value, err := f.knob.Read(strings.Join(texts, ","))
	if err != nil {
		return "", err
	}
	return f.knob.yaml(value), nil
}

// mapping is a map, a keyword list, or a list of pairs: [{"K", "v"}].
func (f found) mapping(v exs.Value) (string, error) {
	m := map[string]string{}
	pairs := v.Pairs
	for _, item := range v.Items {
		if item.Kind != exs.Tuple || len(item.Items) != 2 {
			return "", errors.New("want pairs of a name and a value")
		}
		name, err := scalarOf(item.Items[0])
		if err != nil {
			return "", err
		}
		pairs = append(pairs, exs.Pair{Key: name, Value: item.Items[1]})
	}
	if v.Kind != exs.Map && v.Kind != exs.List {
		return "", errors.New("want names with values")
	}
	for _, p := range pairs {
		if p.Value.Kind == exs.Env {
			text, err := (found{knob: &Knob{Kind: Text}}).fromEnv(p.Value)
			if err != nil {
				return "", err
			}
			m[p.Key] = text
			continue
		}
		text, err := scalarOf(p.Value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", clip(p.Key), err)
		}
		m[p.Key] = quoted(text)
	}
	return f.written(m)
}

// written checks the names, and writes a map whose values are YAML already.
func (f found) written(m map[string]string) (string, error) {
	names := map[string]string{}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		names[key] = ""
		parts = append(parts, quoted(key)+": "+m[key])
	}
	if err := f.knob.allow(names, ""); err != nil && f.knob.Kind == TextMap {
		return "", err
	}
	return "{" + strings.Join(parts, ", ") + "}", nil
}
