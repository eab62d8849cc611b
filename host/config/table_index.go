package config

import (
	"iter"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/host/nearest"
)

// table finds knobs by any of their names.
type table struct {
	knobs []Knob
	named map[string]found
}

// found is what a name stands for.
type found struct {
	knob *Knob
	unit Unit // of a bare number
}

func newTable() *table {
	t := &table{knobs: Knobs(), named: map[string]found{}}
	for i := range t.knobs {
		k := &t.knobs[i]
		t.named[k.Name] = found{k, Own}
		for _, a := range k.Aliases {
			t.named[a.Name] = found{k, a.Unit}
		}
	}
	return t
}

// isGroup reports whether group: {name: …} stands for group_name.
func (t *table) isGroup(name string) bool {
	if slices.Contains(groups(), name) {
		return true
	}
	for _, g := range gone() {
		if strings.HasPrefix(g.name, name+"_") || g.name == name {
			return true
		}
	}
	return false
}

// unknown says that there's no such knob, and what was meant.
func (t *table) unknown(name string, others ...string) string {
	if why := whyGone(name); why != "" {
		return why
	}
	text := "no knob is called " + clip(name)
	if hint := nearest.Hint(name, t.names(others)); hint != "" {
		text += ": " + hint
	}
	return text
}

func (t *table) names(others []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, k := range t.knobs {
			if !yield(k.Name) {
				return
			}
		}
		for _, name := range others {
			if !yield(name) {
				return
			}
		}
	}
}

// value is what the knob is when nobody sets it; a test reads every default.
func (k Knob) value() any {
	if k.Default == "" && (k.Kind == Text || k.Kind == Choice) {
		return ""
	}
	v, _ := k.Read(k.Default)
	return v
}

// defaults are the settings when nothing is set.
func (t *table) defaults() Settings {
	var s Settings
	for _, k := range t.knobs {
		k.set(&s, k.value())
	}
	return s
}

// Defaults are the settings when nothing is set.
func Defaults() Settings { return newTable().defaults() }
