package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kind is what a knob's value is.
type Kind string

// The kinds.
const (
	Int      Kind = "integer"
	Number   Kind = "number"
	Bytes    Kind = "bytes"
	Duration Kind = "duration"
	Bool     Kind = "boolean"
	Text     Kind = "text"
	Choice   Kind = "choice"
	Ints     Kind = "list of integers"
	Texts    Kind = "list of texts"
	Counts   Kind = "map to integers"
	TextMap  Kind = "map to texts"
)

// withArticle is the kind in a sentence.
func (k Kind) withArticle() string {
	switch k {
	case Int:
		return "an integer"
	case Bytes:
		return "a number of bytes"
	case Duration:
		return "a length of time"
	case Text, Choice:
		return "text"
	case Number, Bool, Ints, Texts, Counts, TextMap:
	}
	return "a " + string(k)
}

// Scope is where a knob may stand.
type Scope string

// The scopes.
const (
	OfHost Scope = "host" // once, at the top
	OfPool Scope = "pool" // at the top, for every pool, or with one pool
)

// Effect says when a changed value of a running host counts.
type Effect string

// The effects.
const (
	Live      Effect = "at once"
	ByWorkers Effect = "new workers" // the running ones are replaced one after the other
	ByRestart Effect = "restart"     // of the host
)

// Knob is one thing that can be set.
type Knob struct {
	Name    string
	Aliases []Alias
	Kind    Kind
	Default string
	Min     string // in the form of Default; empty: none
	Max     string
	Words   []Word   // that stand for a value outside the range
	Choices []string // for a Choice
	Scope   Scope
	Layer   string // what it governs
	Effect  Effect
	Text    string // one sentence
	Secret  bool   // it's never shown

	check func(v any) error // what the range can't say; nil: nothing
	slot
}

// Alias is another name of a knob, with the unit of a number that brings none:
// the names of the Elixir project, whose times are mostly milliseconds.
type Alias struct {
	Name string
	Unit Unit
}

// Unit is what a bare number counts.
type Unit string

// The units. The knob's own is a second, a byte or one.
const (
	Own          Unit = ""
	Milliseconds Unit = "ms"
	Mebibytes    Unit = "MiB"
)

// Word is a word that stands for a value.
type Word struct {
	Text  string
	Value any
}

// Range is what the knob takes, for people.
func (k Knob) Range() string {
	text := "any"
	switch {
	case k.Kind == Choice:
		return strings.Join(k.Choices, ", ")
	case k.Kind == Bool:
		return "true, false"
	case k.Min != "" && k.Max != "":
		text = k.Min + " to " + k.Max
	}
	if len(k.Words) > 0 {
		text += ", or " + k.Words[0].Text
	}
	return text
}

// Read reads a value as --set and the environment have it, and checks its range.
func (k Knob) Read(text string) (any, error) { return k.readIn(text, Own) }

// readIn reads a value whose bare number has a unit.
func (k Knob) readIn(text string, unit Unit) (any, error) {
	for _, w := range k.Words {
		if strings.EqualFold(w.Text, strings.TrimSpace(text)) {
			return w.Value, nil
		}
	}
	v, err := parse(k.Kind, inUnit(text, unit))
	if err != nil {
		return nil, err
	}
	return v, k.allow(v, text)
}

// allow checks a value against the range, the choices and what else there is.
func (k Knob) allow(v any, text string) error {
	if k.Kind == Choice && !slices.Contains(k.Choices, text) {
		return fmt.Errorf("%q is none of %s", clip(text), k.Range())
	}
	if slices.ContainsFunc(numbers(v), k.outside) {
		return fmt.Errorf("%s is outside its range, %s", clip(text), k.Range())
	}
	if k.check != nil {
		return k.check(v)
	}
	return nil
}

func (k Knob) outside(n float64) bool {
	bound := func(text string) (float64, bool) {
		if text == "" {
			return 0, false
		}
		v, err := parse(elements(k.Kind), text)
		if err != nil {
			return 0, false // a test reads every bound
		}
		return numbers(v)[0], true
	}
	least, hasLeast := bound(k.Min)
	most, hasMost := bound(k.Max)
	return hasLeast && n < least || hasMost && n > most || math.IsNaN(n)
}

// elements is the kind of what a list or a map holds.
func elements(k Kind) Kind {
	switch k {
	case Ints, Counts:
		return Int
	case Int, Number, Bytes, Duration, Bool, Text, Choice, Texts, TextMap:
	}
	return k
}
