package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Value is a knob's value in a configuration.
type Value struct {
	Knob Knob
	// Plain is a number, a text, a list or a map: lengths of time in seconds, and
	// nil for what has no bound.
	Plain any
	YAML  string // as a file would have it
	From  Origin

	raw string // the YAML with its secrets
}

// Values are the host's knobs, and those of pools too where no pool is named.
func (c *Config) Values() []Value {
	return values(&c.Settings, c.origins, func(k Knob) bool { return k.Scope == OfHost || len(c.Pools) == 0 })
}

// Values are the pool's knobs.
func (p Pool) Values() []Value {
	return values(&p.Settings, p.origins, func(k Knob) bool { return k.Scope == OfPool })
}

func values(s *Settings, origins map[string]Origin, want func(Knob) bool) []Value {
	var all []Value
	for _, k := range Knobs() {
		if want(k) {
			v := hide(k, k.get(s))
			all = append(all, Value{k, k.plain(v), k.yaml(v), origins[k.Name], k.yaml(k.get(s))})
		}
	}
	return all
}

const masked = "********"

// hide masks what is a secret, or may be: the values of variables that are called so.
func hide(k Knob, v any) any {
	if k.Secret && v != "" {
		return masked
	}
	env, ok := v.(map[string]string)
	if !ok || k.Name != "env" {
		return v
	}
	shown := maps.Clone(env)
	for name := range env {
		if isSecret(name) {
			shown[name] = masked
		}
	}
	return shown
}

// isSecret reports whether a variable is called like one that holds a secret.
func isSecret(name string) bool {
	for part := range strings.SplitSeq(strings.ToUpper(name), "_") {
		for _, word := range []string{"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASS", "CREDENTIAL", "CREDENTIALS", "AUTH"} {
			if strings.HasSuffix(part, word) {
				return true
			}
		}
	}
	return false
}

func (k Knob) plain(v any) any {
	switch v := v.(type) {
	case time.Duration:
		if v == Forever {
			return nil
		}
		return v.Seconds()
	case int, int64, float64:
		for _, w := range k.Words {
			if w.Value == v && w.Text == "unlimited" {
				return nil
			}
			if w.Value == v {
				return w.Text
			}
		}
	}
	return v
}

// yaml is a value as a file would have it.
func (k Knob) yaml(v any) string {
	switch v := v.(type) {
	case string:
		return quoted(v)
	case []string:
		texts := make([]string, 0, len(v))
		for _, t := range v {
			texts = append(texts, quoted(t))
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case []int:
		return "[" + k.format(v) + "]"
	case map[string]string:
		return flow(v, quoted)
	case map[string]int:
		return flow(v, strconv.Itoa)
	}
	return k.format(v)
}

func flow[T any](m map[string]T, write func(T) string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, quoted(key)+": "+write(m[key]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// quoted writes a text so that YAML reads it as one, and as nothing else.
func quoted(text string) string {
	plain := text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:-") == "" &&
		!strings.ContainsAny(text[:1], "0123456789.-:") && !strings.HasSuffix(text, ":") && !slices.Contains(reservedWords(), strings.ToLower(text))
	if plain {
		return text
	}
	return strconv.Quote(strings.ReplaceAll(text, "$", "$$"))
}

func reservedWords() []string {
	return []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
}

// YAML is the whole configuration as a file, each value with where it's from.
func (c *Config) YAML() string {
	var b strings.Builder
	write := func(indent string, all []Value) {
		for _, v := range all {
			line := indent + v.Knob.Name + ": " + v.YAML
			fmt.Fprintf(&b, "%-44s # %s\n", line, v.From)
		}
	}
	write("", c.Values())
	if !c.Multi && len(c.Pools) > 0 {
		write("", c.Pools[0].Values())
		return b.String()
	}
	if len(c.Pools) > 0 {
		b.WriteString("pools:\n")
	}
	for _, p := range c.Pools {
		b.WriteString("  - name: " + quoted(p.Name) + "\n")
		write("    ", p.Values())
	}
	return b.String()
}
