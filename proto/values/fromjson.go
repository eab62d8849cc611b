package values

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// FromJSON encodes JSON, exactly one value. Objects with one key like "$bytes"
// name a type that JSON hasn't; proto/VALUES.md lists them.
func FromJSON(text []byte) ([]byte, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, final(err)
	}
	return Encode(v)
}

func parseJSON(text []byte) (any, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	p := jsonParser{in}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, faultf("something follows after the JSON value, at byte %d", in.InputOffset())
	}
	return v, nil
}

// A jsonParser reads JSON token by token, so that objects keep their order.
type jsonParser struct {
	in *json.Decoder
}

func (p jsonParser) value(depth int) (any, error) {
	token, err := p.token()
	if err != nil {
		return nil, err
	}
	if depth >= MaxDepth {
		if _, deeper := token.(json.Delim); deeper {
			return nil, faultf("nested deeper than %d", MaxDepth)
		}
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return p.list(depth)
		}
		return p.object(depth)
	case json.Number:
		return parseNumber(string(token))
	}
	return token, nil
}

func (p jsonParser) token() (json.Token, error) {
	token, err := p.in.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, faultf("the JSON ends too soon")
	case err != nil:
		return nil, faultf("byte %d: %v", p.in.InputOffset(), err)
	}
	return token, nil
}

func (p jsonParser) list(depth int) (any, error) {
	out := []any{}
	for p.in.More() {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, atIndex(err, len(out))
		}
		out = append(out, v)
	}
	_, err := p.token()
	return out, err
}

func (p jsonParser) object(depth int) (any, error) {
	out := Map{}
	for p.in.More() {
		token, err := p.token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, within(err, key)
		}
		out = append(out, Entry{key, v})
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	return tagged(out)
}

// tagged turns {"$uuid": …} into what it names; other objects stay.
func tagged(m Map) (any, error) {
	if len(m) != 1 {
		return m, nil
	}
	tag, _ := m[0].Key.(string)
	read, known := tags()[tag]
	if !known {
		return m, nil
	}
	v, err := read(m[0].Value)
	if err != nil {
		return nil, within(faultf("%q expects %v", tag, err), tag)
	}
	return v, nil
}

// Errors of the readers below end the sentence `"$uuid" expects …`.
func tags() map[string]func(any) (any, error) {
	return map[string]func(any) (any, error){
		"$bytes":     func(v any) (any, error) { return fromBase64(v) },
		"$datetime":  text("a datetime like 2024-02-29T12:30:00Z", parseTime),
		"$date":      text("a date like 2024-02-29", parseDate),
		"$time":      text("a time like 12:30:00", parseClock),
		"$timedelta": fromSeconds,
		"$decimal":   text("a decimal in quotes", func(s string) (Decimal, error) { return Decimal(s), checkDecimal(s) }),
		"$uuid":      text("a uuid", parseUUID),
		"$tuple":     items(func(l []any) any { return Tuple(l) }),
		"$set":       items(func(l []any) any { return Set(l) }),
		"$frozenset": items(func(l []any) any { return FrozenSet(l) }),
		"$complex":   fromComplex,
		"$float":     text(`"NaN", "Infinity" or "-Infinity"`, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }),
		"$array":     fromArray,
		"$arrow":     fromArrow,
		"$map":       fromPairs,
		"$ext":       fromExt,
	}
}

func text[T any](want string, parse func(string) (T, error)) func(any) (any, error) {
	return func(v any) (any, error) {
		s, _ := v.(string)
		out, err := parse(s)
		if err != nil {
			return nil, errors.New(want)
		}
		return out, nil
	}
}

func items(wrap func([]any) any) func(any) (any, error) {
	return func(v any) (any, error) {
		list, ok := v.([]any)
		if !ok {
			return nil, errors.New("an array")
		}
		return wrap(list), nil
	}
}

func parseUUID(s string) (UUID, error) {
	var u UUID
	err := u.UnmarshalText([]byte(s))
	return u, err
}

func fromBase64(v any) ([]byte, error) {
	s, ok := v.(string)
	b, err := base64.StdEncoding.DecodeString(s)
	if !ok || err != nil {
		return nil, errors.New("base64 in quotes")
	}
	return b, nil
}

func fromSeconds(v any) (any, error) {
	var seconds float64
	if assignTo(v, &seconds) != nil || math.Abs(seconds) > math.MaxInt64/float64(time.Second)-1 {
		return nil, errors.New("a number of seconds, at most 292 years")
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}

func fromComplex(v any) (any, error) {
	var parts [2]float64
	if assignTo(v, &parts) != nil {
		return nil, errors.New("[real, imag]")
	}
	return complex(parts[0], parts[1]), nil
}

func fromArray(v any) (any, error) {
	m, _ := v.(Map)
	entry := func(key string) any {
		if i := slices.IndexFunc(m, func(e Entry) bool { return e.Key == key }); i >= 0 {
			return m[i].Value
		}
		return nil
	}
	var a Array
	data, err := fromBase64(entry("data"))
	if assignTo(entry("dtype"), &a.DType) != nil || assignTo(entry("shape"), &a.Shape) != nil || err != nil {
		return nil, errors.New(`{"dtype": "<f8", "shape": [2], "data": base64}`)
	}
	a.Data = data
	if _, err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
}

func fromArrow(v any) (any, error) {
	b, err := fromBase64(v)
	return Arrow{IPC: b}, err
}

func fromPairs(v any) (any, error) {
	list, _ := v.([]any)
	m := make(Map, 0, len(list))
	for _, item := range list {
		pair, ok := item.([]any)
		if !ok || len(pair) != 2 {
			return nil, errors.New("an array of [key, value]")
		}
		m = append(m, Entry{pair[0], pair[1]})
	}
	return m, nil
}

func fromExt(v any) (any, error) {
	list, _ := v.([]any)
	if len(list) != 2 {
		return nil, errors.New("[code, base64]")
	}
	var code int8
	data, err := fromBase64(list[1])
	if assignTo(list[0], &code) != nil || err != nil {
		return nil, errors.New("[code, base64]")
	}
	return Ext{code, data}, nil
}
