package config

import (
	"iter"
	"strings"

	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Defaults are the settings when nothing is set.
func Defaults() Settings {
	s, _ := Parse(nil) // the defaults parse: a test says so
	return s
}

// Parse reads "knob=value" pairs over the defaults; a later one wins. Everything
// that's wrong is in the one error.
func Parse(pairs []string) (Settings, error) {
	var s Settings
	knobs := Knobs()
	for _, k := range knobs {
		if v, err := k.parse(k.Default); err == nil {
			k.set(&s, v)
		}
	}
	var wrong []string
	for _, pair := range pairs {
		if err := apply(&s, knobs, pair); err != "" {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		e := errdefs.New(errdefs.InvalidConfig, "%s", strings.Join(wrong, "; "))
		e.Hint = "docs/configuration.md lists the knobs"
		return s, e
	}
	return s, nil
}

// apply sets one pair and returns what's wrong with it.
func apply(s *Settings, knobs []Knob, pair string) string {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return "\"" + clip(pair) + "\" isn't knob=value"
	}
	for _, k := range knobs {
		if k.Name != name {
			continue
		}
		v, err := k.parse(value)
		if err != nil {
			return name + ": " + err.Error()
		}
		k.set(s, v)
		return ""
	}
	wrong := "no knob is called " + clip(name)
	if hint := nearest.Hint(name, names(knobs)); hint != "" {
		wrong += ": " + hint
	}
	return wrong
}

func names(knobs []Knob) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, k := range knobs {
			if !yield(k.Name) {
				return
			}
		}
	}
}
