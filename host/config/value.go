package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values without a bound: what the words infinity and unlimited stand for.
const (
	Forever   = time.Duration(math.MaxInt64)
	Unlimited = math.MaxInt
)

// parse reads the text of a value.
func parse(kind Kind, text string) (any, error) {
	switch kind {
	case Int:
		return parseInt(text)
	case Number:
		return parseNumber(text)
	case Bytes:
		return parseBytes(text)
	case Duration:
		return parseDuration(text)
	case Bool:
		return parseBool(text)
	case Text, Choice:
		return text, noControls(text)
	case Ints:
		return parseList(text, parseInt)
	case Texts:
		return parseList(text, func(s string) (string, error) { return s, noControls(s) })
	case Counts:
		return parseMap(text, ":", parseInt)
	case TextMap:
		return parseMap(text, "=", func(s string) (string, error) { return s, noControls(s) })
	}
	return nil, fmt.Errorf("a knob of kind %q", kind)
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", clip(text))
	}
	return n, nil
}

func parseNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("%q is no number", clip(text))
	}
	return n, nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(text))
}

// parseList reads "a, b"; nothing is an empty list.
func parseList[T any](text string, read func(string) (T, error)) ([]T, error) {
	list := []T{}
	if strings.TrimSpace(text) == "" {
		return list, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		v, err := read(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// parseMap reads "a:1,b:2", with the separator given.
func parseMap[T any](text, separator string, read func(string) (T, error)) (map[string]T, error) {
	m := map[string]T{}
	if strings.TrimSpace(text) == "" {
		return m, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := cutLast(strings.TrimSpace(part), separator)
		if !ok || key == "" {
			return nil, fmt.Errorf("%q isn't name%svalue", clip(part), separator)
		}
		v, err := read(value)
		if err != nil {
			return nil, err
		}
		m[key] = v
	}
	return m, nil
}

// cutLast cuts a name with colons at its last one, and KEY=value at the first sign.
func cutLast(text, separator string) (key, value string, ok bool) {
	if separator == "=" {
		return strings.Cut(text, separator)
	}
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

func noControls(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' }) {
		return fmt.Errorf("%q has a control character", clip(text))
	}
	return nil
}

// numbers are the numbers in a value, to be held against the range.
func numbers(v any) []float64 {
	switch v := v.(type) {
	case int:
		return []float64{float64(v)}
	case int64:
		return []float64{float64(v)}
	case float64:
		return []float64{v}
	case time.Duration:
		return []float64{float64(v)}
	case []int:
		return floats(slices.Values(v))
	case map[string]int:
		return floats(maps.Values(v))
	}
	return nil
}

func floats(ints func(func(int) bool)) []float64 {
	var all []float64
	for n := range ints {
		all = append(all, float64(n))
	}
	return all
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
