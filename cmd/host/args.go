package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"strings"
	"unicode/utf8"
)

// maxInput bounds what is read from one file or from stdin, in bytes. A host
// refuses larger messages anyway.
const maxInput = 256 << 20

// argument is one word after the tool: name=text, name=@file or name:=JSON.
type argument struct {
	name string
	text string
	json bool // the text is JSON, whatever the schema says
	file bool // the text is the name of a file; "-" is stdin
}

// parseArgument reads one word. The name ends at the first "=".
func parseArgument(word string) (argument, error) {
	name, text, found := strings.Cut(word, "=")
	if !found {
		return argument{}, usagef("argument %q isn't name=value", clip(word))
	}
	a := argument{name: name, text: text}
	if rest, isJSON := strings.CutSuffix(name, ":"); isJSON {
		a.name, a.json = rest, true
	}
	if a.name == "" {
		return argument{}, usagef("argument %q has no name before the =", clip(word))
	}
	if !utf8.ValidString(a.name) {
		return argument{}, usagef("argument %q: the name isn't UTF-8", clip(word))
	}
	if rest, isFile := strings.CutPrefix(text, "@"); isFile {
		a.text, a.file = rest, true
		if rest == "" {
			return argument{}, usagef("argument %q names no file after the @", clip(word))
		}
	}
	return a, nil
}

// parseArguments reads all words; a name may stand only once.
func parseArguments(words []string) ([]argument, error) {
	seen := map[string]bool{}
	args := make([]argument, 0, len(words))
	for _, word := range words {
		a, err := parseArgument(word)
		if err != nil {
			return nil, err
		}
		if seen[a.name] {
			return nil, usagef("argument %q is given twice", clip(a.name))
		}
		seen[a.name] = true
		args = append(args, a)
	}
	return args, nil
}

// inputs reads what arguments refer to.
type inputs struct {
	stdin io.Reader
	used  bool // stdin has been read
}

// read returns a file's content; "-" is stdin, which can be read once.
func (in *inputs) read(name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &usageError{err}
		}
		defer func() { _ = f.Close() }() // it was only read
		return readBounded(f, name)
	}
	if in.used {
		return nil, usagef("stdin is named twice")
	}
	in.used = true
	return readBounded(in.stdin, "stdin")
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, &usageError{fmt.Errorf("read %s: %w", name, err)}
	}
	if len(data) > maxInput {
		return nil, usagef("%s is larger than %d MiB", name, maxInput>>20)
	}
	return data, nil
}

// buildArguments makes the map of arguments: what jsonText holds ("" for nothing,
// "@file", "-" for stdin, or JSON), with each word's value added or put in its place.
func buildArguments(jsonText string, words []argument, s schema, in *inputs) (map[string]any, error) {
	args, err := baseArguments(jsonText, in)
	if err != nil {
		return nil, err
	}
	for _, a := range words {
		v, err := a.value(s.property(a.name), in)
		if err != nil {
			return nil, err
		}
		args[a.name] = v
	}
	return args, nil
}

func baseArguments(text string, in *inputs) (map[string]any, error) {
	if text == "" {
		return map[string]any{}, nil
	}
	data := []byte(text)
	name, isFile := strings.CutPrefix(text, "@")
	if text == "-" || isFile {
		var err error
		if data, err = in.read(name); err != nil {
			return nil, err
		}
	}
	v, err := decodeJSON(data)
	if err != nil {
		return nil, usagef("--json: %w", err)
	}
	args, ok := v.(map[string]any)
	if !ok {
		return nil, usagef("--json: the arguments are an object with a key for each, not %s", nameOf(v))
	}
	return args, nil
}

// value is the argument as the schema reads it. Text that fits none of the
// allowed kinds goes on as a string: the worker refuses it, and says why.
func (a argument) value(s schema, in *inputs) (any, error) {
	allowed, enum := s.accepts(newWalk())
	text := a.text
	if a.file {
		data, err := in.read(a.text)
		if err != nil {
			return nil, err
		}
		switch {
		case a.json:
		case allowed&kindBytes != 0:
			return data, nil
		case !utf8.Valid(data):
			return nil, usagef("argument %s: %s isn't UTF-8 text, and the tool takes no bytes there", a.name, a.text)
		case allowed&kindString == 0:
			data = bytes.TrimSpace(data)
		}
		text = string(data)
	}
	if a.json {
		v, err := decodeJSON([]byte(text))
		if err != nil {
			return nil, usagef("argument %s: %w", a.name, err)
		}
		return v, nil
	}
	if !utf8.ValidString(text) && allowed&kindBytes == 0 {
		return nil, usagef("argument %s isn't UTF-8 text, and the tool takes no bytes there", a.name)
	}
	return interpret(text, allowed, enum), nil
}

// interpret reads text as the first of these that is allowed and fits: a listed
// value, null, a boolean, a number, a list or an object, bytes, a string.
func interpret(text string, allowed kinds, enum []any) any {
	for _, e := range enum {
		if s, ok := e.(string); ok && s == text {
			return text
		}
	}
	parsed, err := decodeJSON([]byte(text))
	if err == nil && (kindOfValue(parsed)&allowed != 0 || listed(parsed, enum)) {
		return asNumber(parsed, allowed)
	}
	if allowed&kindNumber != 0 && allowed&kindString == 0 {
		if f, ok := special(text); ok {
			return f
		}
	}
	if allowed&kindBytes != 0 && allowed&kindString == 0 {
		return []byte(text)
	}
	return text
}

// asNumber gives a whole number as a float where only floats are allowed and
// nothing is lost by it.
func asNumber(v any, allowed kinds) any {
	if i, ok := v.(int64); ok && allowed&(kindInt|kindNumber) == kindNumber && i >= -maxExact && i <= maxExact {
		return float64(i)
	}
	return v
}

// maxExact is the largest whole number up to which every one is a float.
const maxExact = 1 << 53

func special(text string) (float64, bool) {
	switch strings.ToLower(text) {
	case "nan":
		return math.NaN(), true
	case "inf", "+inf", "infinity", "+infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	default:
		return 0, false
	}
}

func listed(v any, enum []any) bool {
	text := compact(v)
	for _, e := range enum {
		if _, isString := e.(string); !isString && compact(e) == text {
			return true
		}
	}
	return false
}

// kindOfValue is the kind of a decoded value. A whole number is an integer and,
// where only floats are allowed, a number; JSON strings are not taken for strings,
// since text is one as it stands.
func kindOfValue(v any) kinds {
	switch v.(type) {
	case nil:
		return kindNull
	case bool:
		return kindBool
	case int64, uint64, *big.Int:
		return kindInt | kindNumber
	case float64:
		return kindNumber
	case []any:
		return kindArray
	case map[string]any:
		return kindObject
	default:
		return 0
	}
}

func nameOf(v any) string {
	switch k := kindOfValue(v); {
	case k&kindNull != 0:
		return "null"
	case k&kindBool != 0:
		return "a boolean"
	case k&kindNumber != 0:
		return "a number"
	case k&kindArray != 0:
		return "a list"
	default:
		return "a string"
	}
}

// clip shortens text for a message.
func clip(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}
