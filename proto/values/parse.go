package values

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"
)

// firstCap bounds what is allocated before elements are seen: nested arrays may
// each claim all the data that's left.
const firstCap = 256

// A parser reads values without a type to go by.
type parser struct {
	*reader
	ordered bool // every map becomes a Map
}

// any reads the next value as the first table of proto/VALUES.md says.
func (p parser) any() (any, error) {
	k, err := p.kind()
	if err != nil {
		return nil, err
	}
	switch k {
	case kindString:
		return p.string()
	case kindBytes:
		b, err := p.bytes()
		return append([]byte{}, b...), err
	case kindArray:
		return p.list()
	case kindMap:
		return p.mapping()
	case kindExt:
		code, data, err := p.ext()
		if err != nil {
			return nil, err
		}
		return p.extension(code, data)
	case kindInvalid, kindNil, kindBool, kindInt, kindUint, kindFloat32, kindFloat64:
	}
	return p.number(k)
}

func (p parser) list() ([]any, error) {
	n, err := p.arrayLen()
	if err != nil {
		return nil, err
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	out := make([]any, 0, min(n, firstCap))
	for i := range n {
		v, err := p.any()
		if err != nil {
			return nil, atIndex(err, i)
		}
		out = append(out, v)
	}
	return out, nil
}

func (p parser) mapping() (any, error) {
	m, strings, err := p.entries()
	if err != nil || p.ordered || !strings {
		return m, err
	}
	out := make(map[string]any, len(m))
	for _, entry := range m {
		key, _ := entry.Key.(string)
		out[key] = entry.Value
	}
	return out, nil
}

func (p parser) entries() (m Map, strings bool, err error) {
	n, err := p.mapLen()
	if err != nil {
		return nil, false, err
	}
	if err := p.enter(); err != nil {
		return nil, false, err
	}
	defer p.leave()
	m, strings = make(Map, 0, min(n, firstCap)), true
	for range n {
		key, err := p.any()
		if err != nil {
			return nil, false, err
		}
		v, err := p.any()
		if err != nil {
			return nil, false, within(err, keyText(key))
		}
		_, isString := key.(string)
		strings = strings && isString
		m = append(m, Entry{key, v})
	}
	return m, strings, nil
}

// inside gives a parser for what an extension holds.
func (p parser) inside(data []byte) parser {
	return parser{newReader(data, p.depth), p.ordered}
}

// items reads an extension that is one array.
func (p parser) items(data []byte) ([]any, error) {
	in := p.inside(data)
	if k, err := in.kind(); err != nil || k != kindArray {
		return nil, faultf("an extension holds no array")
	}
	items, err := in.list()
	if err != nil {
		return nil, err
	}
	return items, in.end()
}

// extension gives an extension's native Go type, or an Ext where there's none.
func (p parser) extension(code int8, data []byte) (any, error) {
	switch code {
	case codeTuple:
		items, err := p.items(data)
		return Tuple(items), err
	case codeSet:
		items, err := p.items(data)
		return Set(items), err
	case codeFrozenSet:
		items, err := p.items(data)
		return FrozenSet(items), err
	case codeMap:
		return p.pairs(data)
	case codeNDArray, codeMemoryView, codePyArray:
		return p.array(code, data)
	case codeScalar:
		return p.scalar(data)
	case codeMarker:
		return p.marker(data)
	}
	return flat(code, data)
}

func (p parser) pairs(data []byte) (Map, error) {
	items, err := p.items(data)
	if err != nil {
		return nil, err
	}
	m := make(Map, 0, len(items))
	for i, item := range items {
		pair, ok := item.([]any)
		if !ok || len(pair) != 2 {
			return nil, atIndex(faultf("expected a pair of key and value"), i)
		}
		m = append(m, Entry{pair[0], pair[1]})
	}
	return m, nil
}

func (p parser) array(code int8, data []byte) (any, error) {
	items, err := p.items(data)
	if err != nil {
		return nil, err
	}
	if len(items) != 3 {
		return nil, faultf("malformed array")
	}
	a := Array{Kind: map[int8]ArrayKind{codeMemoryView: MemoryView, codePyArray: PyArray}[code]}
	shape, ok1 := items[1].([]any)
	name, ok2 := items[0].(string)
	raw, ok3 := items[2].([]byte)
	if !ok1 || !ok2 || !ok3 {
		return nil, faultf("malformed array")
	}
	a.DType, a.Data, a.Shape = name, raw, make([]int, len(shape))
	for i, n := range shape {
		length, ok := n.(int64)
		if !ok || length < 0 || length > math.MaxInt32*64 {
			return nil, faultf("malformed array")
		}
		a.Shape[i] = int(length)
	}
	_, err = a.check()
	return a, err
}

func (p parser) scalar(data []byte) (any, error) {
	items, err := p.items(data)
	if err != nil {
		return nil, err
	}
	if len(items) != 2 {
		return nil, faultf("malformed scalar")
	}
	name, ok1 := items[0].(string)
	raw, ok2 := items[1].([]byte)
	d, err := parseDType(name)
	if !ok1 || !ok2 || err != nil || d.size != len(raw) {
		return nil, faultf("malformed scalar")
	}
	return Scalar{name, raw}, nil
}

func (p parser) marker(data []byte) (any, error) {
	in := p.inside(data)
	if k, err := in.kind(); err != nil || k != kindMap {
		return nil, faultf("malformed marker")
	}
	entries, _, err := in.entries()
	if err != nil {
		return nil, err
	}
	m := Marker{Why: "no encoding"}
	for _, entry := range entries {
		text, _ := entry.Value.(string)
		switch entry.Key {
		case "type":
			m.Type = text
		case "why":
			m.Why = text
		case "repr":
			m.Repr = text
		}
	}
	return m, in.end()
}

// flat reads extensions that hold no values.
func flat(code int8, data []byte) (any, error) {
	switch code {
	case codeBigInt:
		return parseBigInt(data)
	case codeDateTime:
		return parseTime(string(data))
	case codeDate:
		return parseDate(string(data))
	case codeClock:
		return parseClock(string(data))
	case codeDuration:
		if d, fits, err := parseDuration(data); err != nil || fits {
			return d, err
		}
	case codeDecimal:
		return Decimal(data), checkDecimal(string(data))
	case codeUUID:
		if len(data) != 16 {
			return nil, faultf("malformed uuid")
		}
		return UUID(data), nil
	case codeComplex:
		return parseComplex(data)
	case codeText:
		return string(data), nil
	case codeByteArray:
		return append(ByteArray{}, data...), nil
	case codeArrow:
		return parseArrow(data)
	case codeTimestamp:
		return parseTimestamp(data)
	}
	return Ext{code, append([]byte{}, data...)}, nil
}

func parseBigInt(data []byte) (*big.Int, error) {
	if len(data) == 0 || data[0] > 1 {
		return nil, faultf("malformed bigint")
	}
	n := new(big.Int).SetBytes(data[1:])
	if data[0] == 1 {
		n.Neg(n)
	}
	return n, nil
}

func parseComplex(data []byte) (complex128, error) {
	if len(data) != 16 {
		return 0, faultf("malformed complex")
	}
	return complex(math.Float64frombits(binary.BigEndian.Uint64(data)), math.Float64frombits(binary.BigEndian.Uint64(data[8:]))), nil
}

func parseArrow(data []byte) (any, error) {
	if len(data) == 0 || (data[0] != 'T' && data[0] != 'B') {
		return nil, faultf("malformed arrow")
	}
	return Arrow{Batch: data[0] == 'B', IPC: append([]byte{}, data[1:]...)}, nil
}

// parseTimestamp reads msgpack's own timestamps, of 4, 8 and 12 bytes.
func parseTimestamp(data []byte) (any, error) {
	var seconds int64
	var nanos uint32
	switch len(data) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(data))
	case 8:
		n := binary.BigEndian.Uint64(data)
		seconds, nanos = int64(n&(1<<34-1)), uint32(n>>34)
	case 12:
		nanos, seconds = binary.BigEndian.Uint32(data), int64(binary.BigEndian.Uint64(data[4:])) //nolint:gosec // two's complement
	default:
		return nil, faultf("malformed timestamp")
	}
	t := time.Unix(seconds, int64(nanos)).UTC()
	if nanos >= 1e9 || checkYear(t.Year()) != nil {
		return nil, faultf("malformed timestamp")
	}
	return t, nil
}

func checkDecimal(s string) error {
	digits := strings.TrimLeft(s, "+-")
	switch strings.ToLower(strings.TrimRight(digits, "0123456789")) {
	case "nan", "snan", "inf", "infinity":
		return nil
	}
	ok := strings.ContainsAny(digits, "0123456789") && utf8.ValidString(s) && len(s)-len(digits) <= 1
	for _, c := range digits {
		ok = ok && (strings.ContainsRune(".eE+-", c) || ('0' <= c && c <= '9'))
	}
	if !ok {
		return faultf("%q is no decimal", s[:min(len(s), 64)])
	}
	return nil
}
