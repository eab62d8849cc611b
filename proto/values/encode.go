package values

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"sort"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// Encode encodes a value. A nil slice is an empty array and a nil map an empty
// map; nil pointers and interfaces are nil. Functions, channels, cycles and what
// is nested too deep are errors.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	if err := newEncoder(&buf, 0).encode(v); err != nil {
		return nil, final(err)
	}
	return buf.Bytes(), nil
}

// An encoder writes msgpack. Writing to a buffer can't fail, so the errors of
// the msgpack package are not looked at where only a buffer is written to.
type encoder struct {
	buf   *bytes.Buffer
	out   *msgpack.Encoder
	depth int
}

func newEncoder(buf *bytes.Buffer, depth int) *encoder {
	return &encoder{buf: buf, out: msgpack.NewEncoder(buf), depth: depth}
}

func (e *encoder) encode(v any) error {
	switch v := v.(type) {
	case nil:
		return e.out.EncodeNil()
	case bool:
		return e.out.EncodeBool(v)
	case string:
		return e.string(v)
	case int:
		return e.out.EncodeInt(int64(v))
	case int64:
		return e.out.EncodeInt(v)
	case float64:
		return e.out.EncodeFloat64(v)
	case []byte:
		return e.bytes(v)
	case map[string]any:
		return e.stringMap(v)
	case []any:
		return e.list(v)
	}
	if done, err := e.leaf(v); done {
		return err
	}
	return e.reflected(reflect.ValueOf(v))
}

// leaf encodes the types that aren't what their kind says; false: v is none.
func (e *encoder) leaf(v any) (done bool, err error) {
	switch v := v.(type) {
	case time.Time:
		return true, e.textual(codeDateTime)(formatTime(v))
	case NaiveTime:
		return true, e.textual(codeDateTime)(formatNaive(v))
	case Date:
		return true, e.textual(codeDate)(v.String(), checkYear(v.Year))
	case Clock:
		return true, e.ext(codeClock, []byte(v.String()))
	case time.Duration:
		return true, e.ext(codeDuration, durationBytes(v))
	case Decimal:
		return true, e.textual(codeDecimal)(string(v), checkDecimal(string(v)))
	case UUID:
		return true, e.ext(codeUUID, v[:])
	case *big.Int:
		return true, e.bigInt(v)
	case big.Int:
		return true, e.bigInt(&v)
	case Ext:
		return true, e.ext(v.Code, v.Data)
	case json.Number:
		return true, e.number(v)
	case json.RawMessage:
		return true, e.json(v)
	}
	return e.container(v)
}

// container encodes our own container types; false: v is none.
func (e *encoder) container(v any) (done bool, err error) {
	switch v := v.(type) {
	case Tuple:
		return true, e.nested(codeTuple, func(e *encoder) error { return e.list(v) })
	case Set:
		return true, e.nested(codeSet, func(e *encoder) error { return e.list(v) })
	case FrozenSet:
		return true, e.nested(codeFrozenSet, func(e *encoder) error { return e.list(v) })
	case ByteArray:
		return true, e.ext(codeByteArray, v)
	case Map:
		return true, e.orderedMap(v)
	case Array:
		return true, e.array(v)
	case Scalar:
		return true, e.scalar(v)
	case Arrow:
		return true, e.arrow(v)
	case Marker:
		return true, e.marker(v)
	}
	return false, nil
}

// isLeaf reports whether a struct type has an encoding of its own.
func isLeaf(t reflect.Type) bool {
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return true
	}
	done, _ := newEncoder(new(bytes.Buffer), 0).leaf(reflect.Zero(t).Interface())
	return done
}

func (e *encoder) reflected(v reflect.Value) error {
	if done, err := e.marshaler(v); done {
		return err
	}
	return e.kind(v)
}

// kind encodes by kind alone.
func (e *encoder) kind(v reflect.Value) error {
	switch v.Kind() { //nolint:exhaustive // the others are errors
	case reflect.Bool:
		return e.out.EncodeBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return e.out.EncodeInt(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return e.out.EncodeUint(v.Uint())
	case reflect.Float32:
		return e.out.EncodeFloat32(float32(v.Float()))
	case reflect.Float64:
		return e.out.EncodeFloat64(v.Float())
	case reflect.Complex64, reflect.Complex128:
		return e.complex(v.Complex())
	case reflect.String:
		return e.string(v.String())
	case reflect.Pointer, reflect.Interface:
		return e.pointer(v)
	case reflect.Slice, reflect.Array:
		return e.slice(v)
	case reflect.Map:
		return e.reflectedMap(v)
	case reflect.Struct:
		return e.structure(v)
	}
	return faultf("%s can't be encoded", v.Type())
}

func (e *encoder) marshaler(v reflect.Value) (done bool, err error) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return true, e.out.EncodeNil()
	}
	if !v.CanInterface() {
		return false, nil
	}
	m, ok := v.Interface().(encoding.TextMarshaler)
	if !ok || v.Kind() == reflect.Interface {
		return false, nil
	}
	if v.Kind() == reflect.Pointer && isLeafElem(v.Type().Elem()) {
		return false, nil
	}
	text, err := m.MarshalText()
	if err != nil {
		return true, faultf("%v", err)
	}
	return true, e.string(string(text))
}

// isLeafElem: a pointer to one of our own types is that type, not its text.
func isLeafElem(t reflect.Type) bool {
	done, _ := newEncoder(new(bytes.Buffer), 0).leaf(reflect.Zero(t).Interface())
	return done
}

func (e *encoder) enter() error {
	if e.depth >= MaxDepth {
		return faultf("nested deeper than %d, or in itself", MaxDepth)
	}
	e.depth++
	return nil
}

func (e *encoder) leave() { e.depth-- }

// pointer counts as a container: a chain of pointers may be a circle.
func (e *encoder) pointer(v reflect.Value) error {
	if v.IsNil() {
		return e.out.EncodeNil()
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.encode(v.Elem().Interface())
}

func (e *encoder) list(items []any) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if err := e.out.EncodeArrayLen(len(items)); err != nil {
		return err
	}
	for i, item := range items {
		if err := e.encode(item); err != nil {
			return atIndex(err, i)
		}
	}
	return nil
}

func (e *encoder) slice(v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return e.bytes(bytesOf(v))
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if err := e.out.EncodeArrayLen(v.Len()); err != nil {
		return err
	}
	element := e.element(v.Type().Elem())
	for i := range v.Len() {
		if err := element(v.Index(i)); err != nil {
			return atIndex(err, i)
		}
	}
	return nil
}

// element writes elements of one type; numbers without a detour.
func (e *encoder) element(t reflect.Type) func(reflect.Value) error {
	if t.PkgPath() == "" && t.Kind() <= reflect.Float64 {
		return e.kind
	}
	return func(v reflect.Value) error { return e.encode(v.Interface()) }
}

func bytesOf(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice {
		return v.Bytes()
	}
	b := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(b), v)
	return b
}

func (e *encoder) stringMap(m map[string]any) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if err := e.out.EncodeMapLen(len(m)); err != nil {
		return err
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := e.entry(k, m[k]); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) entry(key string, v any) error {
	if !utf8.ValidString(key) {
		return faultf("the key %q isn't UTF-8", key[:min(len(key), 64)])
	}
	if err := e.out.EncodeString(key); err != nil {
		return err
	}
	return within(e.encode(v), key)
}

func (e *encoder) structure(v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	var m Map
	for _, f := range fieldsOf(v.Type()) {
		fv, err := v.FieldByIndexErr(f.index)
		if err != nil || (f.omitEmpty && isEmpty(fv)) || (f.omitZero && fv.IsZero()) {
			continue // err: it's a field of an embedded nil pointer
		}
		m = append(m, Entry{f.name, fv.Interface()})
	}
	if err := e.out.EncodeMapLen(len(m)); err != nil {
		return err
	}
	for _, f := range m {
		name, _ := f.Key.(string)
		if err := e.entry(name, f.Value); err != nil {
			return err
		}
	}
	return nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() { //nolint:exhaustive // structs are never empty, as in encoding/json
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// reflectedMap writes entries sorted by their encoded keys.
func (e *encoder) reflectedMap(v reflect.Value) error {
	m := make(Map, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		m = append(m, Entry{it.Key().Interface(), it.Value().Interface()})
	}
	return e.entries(m, true)
}

func (e *encoder) orderedMap(m Map) error { return e.entries(m, false) }

type encodedKey struct {
	key   []byte
	entry Entry
}

// entries writes a map: msgpack's own where every key is one that msgpack's
// readers take, else the extension.
func (e *encoder) entries(m Map, sorted bool) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	keys, native := make([]encodedKey, len(m)), true
	for i, entry := range m {
		var buf bytes.Buffer
		if err := newEncoder(&buf, e.depth).encode(entry.Key); err != nil {
			return within(err, "key")
		}
		keys[i] = encodedKey{buf.Bytes(), entry}
		native = native && isNativeKey(buf.Bytes()[0])
	}
	if sorted {
		sort.SliceStable(keys, func(i, j int) bool { return bytes.Compare(keys[i].key, keys[j].key) < 0 })
	}
	if !native {
		return e.nested(codeMap, func(e *encoder) error { return e.pairs(keys) })
	}
	if err := e.out.EncodeMapLen(len(keys)); err != nil {
		return err
	}
	return e.keyed(keys, nil)
}

func (e *encoder) pairs(keys []encodedKey) error {
	if err := e.out.EncodeArrayLen(len(keys)); err != nil {
		return err
	}
	return e.keyed(keys, func() error { return e.out.EncodeArrayLen(2) })
}

// keyed writes keys and values, each after what before writes.
func (e *encoder) keyed(keys []encodedKey, before func() error) error {
	for _, k := range keys {
		if before != nil {
			if err := before(); err != nil {
				return err
			}
		}
		e.buf.Write(k.key)
		if err := e.encode(k.entry.Value); err != nil {
			return within(err, keyText(k.entry.Key))
		}
	}
	return nil
}
