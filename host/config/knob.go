package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a knob's value is.
type Kind string

// The kinds.
const (
	Int      Kind = "integer"
	Bytes    Kind = "bytes"
	Duration Kind = "duration"
	Bool     Kind = "boolean"
	Text     Kind = "text"
	Choice   Kind = "choice"
)

// Knob is one thing that can be set.
type Knob struct {
	Name    string
	Kind    Kind
	Default string
	Min     string // in the form of Default; empty: none
	Max     string
	Choices []string // for a Choice
	Layer   string   // what it governs: "pool", "call", "session", "host" or "worker"
	Text    string   // one sentence

	set func(*Settings, any)
}

// Range is what the knob takes, for people.
func (k Knob) Range() string {
	switch {
	case k.Kind == Choice:
		return strings.Join(k.Choices, ", ")
	case k.Min != "" && k.Max != "":
		return k.Min + " to " + k.Max
	case k.Min != "":
		return "at least " + k.Min
	}
	return "any"
}

// parse reads a value and checks its range.
func (k Knob) parse(text string) (any, error) {
	v, err := k.read(text)
	if err != nil {
		return nil, err
	}
	n, ordered := number(v)
	if !ordered {
		return v, nil
	}
	for _, bound := range []struct {
		text string
		bad  func(limit float64) bool
	}{
		{k.Min, func(limit float64) bool { return n < limit }},
		{k.Max, func(limit float64) bool { return n > limit }},
	} {
		if bound.text == "" {
			continue
		}
		limit, err := k.read(bound.text)
		if err != nil {
			return nil, err
		}
		if l, _ := number(limit); bound.bad(l) {
			return nil, fmt.Errorf("%s is outside its range, %s", text, k.Range())
		}
	}
	return v, nil
}

func (k Knob) read(text string) (any, error) {
	switch k.Kind {
	case Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", clip(text))
		}
		return n, nil
	case Bytes:
		return parseBytes(text)
	case Duration:
		return parseDuration(text)
	case Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", clip(text))
		}
		return b, nil
	case Choice:
		if !slices.Contains(k.Choices, text) {
			return nil, fmt.Errorf("%q is none of %s", clip(text), k.Range())
		}
		return text, nil
	case Text:
		return text, nil
	}
	return nil, fmt.Errorf("a knob of kind %q", k.Kind)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case time.Duration:
		return float64(v), true
	}
	return 0, false
}

// parseDuration reads 500ms, 2s, 1h30m, or plain seconds.
func parseDuration(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(s) || math.Abs(s) > math.MaxInt64/float64(time.Second) {
			return 0, fmt.Errorf("%q is no length of time", clip(text))
		}
		return time.Duration(s * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no length of time; write 500ms, 2s, 1h30m, or plain seconds", clip(text))
	}
	return d, nil
}

// parseBytes reads 1048576, 64KiB, 256MiB or 1GiB.
func parseBytes(text string) (int64, error) {
	digits, unit := text, int64(1)
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if d, ok := strings.CutSuffix(text, u.suffix); ok {
			digits, unit = strings.TrimSpace(d), u.size
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no number of bytes; write 1048576, 64KiB, 256MiB or 1GiB", clip(text))
	}
	return n * unit, nil
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
