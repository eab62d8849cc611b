package values

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// ToJSON gives data, exactly one value, as JSON. proto/VALUES.md says what each
// type looks like; maps keep their order.
func ToJSON(data []byte) (json.RawMessage, error) {
	r := newReader(data, 0)
	v, err := parser{r, true}.any()
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, final(err)
	}
	out, err := appendJSON(nil, v)
	return out, final(err)
}

// MarshalJSON is what ToJSON gives.
func (s Scalar) MarshalJSON() ([]byte, error) { return appendJSON(nil, s) }

// MarshalJSON is what ToJSON gives.
func (a Array) MarshalJSON() ([]byte, error) { return appendJSON(nil, a) }

// MarshalJSON is what ToJSON gives.
func (a Arrow) MarshalJSON() ([]byte, error) { return appendJSON(nil, a) }

// MarshalJSON is what ToJSON gives.
func (m Marker) MarshalJSON() ([]byte, error) { return appendJSON(nil, m) }

// MarshalJSON is what ToJSON gives.
func (e Ext) MarshalJSON() ([]byte, error) { return appendJSON(nil, e) }

// MarshalJSON is what ToJSON gives.
func (m Map) MarshalJSON() ([]byte, error) { return appendJSON(nil, m) }

// maxListed is up to how many elements an array is written out.
const maxListed = 1 << 20

func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case float32:
		return appendFloat(b, float64(v), 32), nil
	case float64:
		return appendFloat(b, v, 64), nil
	case string:
		return appendString(b, v), nil
	case []any:
		return appendList(b, v)
	case Tuple:
		return appendList(b, v)
	case Set:
		return appendList(b, v)
	case FrozenSet:
		return appendList(b, v)
	case Map:
		return appendMap(b, v)
	case Array:
		return appendArray(b, v)
	}
	return appendOther(b, v)
}

func appendOther(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return appendString(b, base64.StdEncoding.EncodeToString(v)), nil
	case ByteArray:
		return appendString(b, base64.StdEncoding.EncodeToString(v)), nil
	case *big.Int:
		return appendBigInt(b, v)
	case time.Time:
		text, err := formatTime(v)
		return appendString(b, text), err
	case time.Duration:
		return appendFloat(b, v.Seconds(), 64), nil
	case complex64:
		return appendComplex(b, complex128(v)), nil
	case complex128:
		return appendComplex(b, v), nil
	case Arrow:
		return appendTagged(b, "$arrow", base64.StdEncoding.EncodeToString(v.IPC))
	case Marker:
		return appendMarker(b, v)
	case Scalar:
		return appendScalar(b, v)
	case Ext:
		return appendTagged(b, "$ext", []any{int64(v.Code), v.Data})
	}
	if text, ok := textOf(v); ok {
		return appendString(b, text), nil
	}
	switch v.(type) {
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Append(b, v), nil
	}
	more, err := json.Marshal(v) // what a program put into one of our types
	return append(b, more...), err
}

// appendFloat writes a float as encoding/json does, and what JSON hasn't as text.
func appendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, format, -1, bits)
	if format == 'f' && !strings.Contains(string(b[start:]), ".") {
		b = append(b, ".0"...) // FromJSON reads it as a float again
	}
	return b
}

func appendString(b []byte, s string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)              // it's read by people, not put into pages
	if err := enc.Encode(s); err != nil { // it has none for strings
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

func appendList(b []byte, items []any) ([]byte, error) {
	return appendEach(b, len(items), func(b []byte, i int) ([]byte, error) { return appendJSON(b, items[i]) })
}

func appendEach(b []byte, n int, element func([]byte, int) ([]byte, error)) (_ []byte, err error) {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = element(b, i); err != nil {
			return nil, atIndex(err, i)
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, m Map) (_ []byte, err error) {
	keys := make([]string, len(m))
	for i, entry := range m {
		text, ok := jsonKey(entry.Key)
		if !ok {
			return appendPairs(b, m)
		}
		keys[i] = text
	}
	b = append(b, '{')
	for i, entry := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, keys[i]), ':')
		if b, err = appendJSON(b, entry.Value); err != nil {
			return nil, within(err, keys[i])
		}
	}
	return append(b, '}'), nil
}

// jsonKey is a scalar key's JSON text, without quotes.
func jsonKey(key any) (string, bool) {
	switch key := key.(type) {
	case string:
		return key, true
	case nil, bool, int64, uint64, float32, float64, time.Time, time.Duration, Scalar:
	default:
		text, ok := textOf(key)
		return text, ok
	}
	b, err := appendJSON(nil, key)
	return strings.Trim(string(b), `"`), err == nil && (len(b) == 0 || b[0] != '{')
}

func appendPairs(b []byte, m Map) ([]byte, error) {
	pairs := make([]any, len(m))
	for i, entry := range m {
		pairs[i] = []any{entry.Key, entry.Value}
	}
	return appendTagged(b, "$map", pairs)
}

func appendTagged(b []byte, tag string, v any) ([]byte, error) {
	return appendMap(b, Map{{tag, v}})
}

// appendBigInt writes an int; a huge one as an extension, since decimal takes
// time that grows faster than its length.
func appendBigInt(b []byte, n *big.Int) ([]byte, error) {
	if n.BitLen() > 3*maxDigits {
		sign := byte(0)
		if n.Sign() < 0 {
			sign = 1
		}
		return appendJSON(b, Ext{codeBigInt, append([]byte{sign}, n.Bytes()...)})
	}
	return n.Append(b, 10), nil
}

func appendComplex(b []byte, c complex128) []byte {
	b = appendFloat(append(b, `{"real":`...), real(c), 64)
	b = appendFloat(append(b, `,"imag":`...), imag(c), 64)
	return append(b, '}')
}

func appendMarker(b []byte, m Marker) ([]byte, error) {
	entries := Map{{"type", m.Type}, {"why", m.Why}}
	if m.Repr != "" {
		entries = append(entries, Entry{"repr", m.Repr})
	}
	return appendTagged(b, "$marker", entries)
}

func appendScalar(b []byte, s Scalar) ([]byte, error) {
	if v := s.Value(); v != nil {
		return appendJSON(b, v)
	}
	data, err := Encode(s)
	if err != nil {
		return nil, err
	}
	code, payload, err := newReader(data, 0).ext()
	if err != nil {
		return nil, err
	}
	return appendJSON(b, Ext{code, payload})
}

func appendArray(b []byte, a Array) ([]byte, error) {
	d, err := a.check()
	if err != nil {
		return nil, err
	}
	if len(a.Data)/d.size > maxListed || !a.listable() || d.value(make([]byte, d.size)) == nil {
		return appendTagged(b, "$array", Map{{"dtype", a.DType}, {"shape", anyInts(a.Shape)}, {"data", a.Data}})
	}
	return appendElements(b, d, a.Shape, a.Data)
}

func appendElements(b []byte, d dtype, shape []int, data []byte) ([]byte, error) {
	if len(shape) == 0 {
		return appendJSON(b, d.value(data))
	}
	if shape[0] == 0 {
		return append(b, "[]"...), nil
	}
	stride := len(data) / shape[0]
	return appendEach(b, shape[0], func(b []byte, i int) ([]byte, error) {
		return appendElements(b, d, shape[1:], data[i*stride:(i+1)*stride])
	})
}

func anyInts(ints []int) []any {
	out := make([]any, len(ints))
	for i, n := range ints {
		out[i] = int64(n)
	}
	return out
}
