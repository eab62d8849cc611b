package config

import (
	"slices"
	"strings"
)

const envPrefix = "SNAKEPIT_"

// lookup finds variables in KEY=value pairs.
func lookup(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range slices.Backward(environ) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// readEnviron reads SNAKEPIT_POOL_SIZE=4 and the like. An empty variable sets nothing.
func (r *reader) readEnviron() {
	environ := slices.Clone(r.src.Environ)
	slices.Sort(environ)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		knob, ok := strings.CutPrefix(name, envPrefix)
		if !ok || value == "" || isForeign(name) {
			continue
		}
		at := Origin{Kind: FromEnviron, Name: name}
		if _, known := r.table.named[strings.ToLower(knob)]; !known || knob != strings.ToUpper(knob) {
			r.fault(at, "", "%s", upper(r.table.unknown(strings.ToLower(knob))))
			continue
		}
		r.readText(strings.ToLower(knob), value, "", at)
	}
}

// upper writes a suggestion as the name of a variable.
func upper(text string) string {
	before, name, ok := strings.Cut(text, "did you mean ")
	if !ok {
		return text
	}
	return before + "did you mean " + envPrefix + strings.ToUpper(name)
}

// isForeign reports whether a variable with our prefix is no knob: the host's own
// talk with its workers and its successor, the tests', and those that Kubernetes
// sets for a service called snakepit.
func isForeign(name string) bool {
	switch name {
	case envPrefix + "CONFIG", envPrefix + "HANDED_OVER":
		return true
	}
	for _, prefix := range []string{"TEST_", "SERVICE_", "PORT", "SHIM_"} {
		if strings.HasPrefix(name, envPrefix+prefix) {
			return true
		}
	}
	return IsReserved(name)
}
