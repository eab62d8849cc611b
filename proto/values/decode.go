package values

import (
	"errors"
	"fmt"
	"reflect"
)

// Decode decodes data, exactly one value, into out, a pointer. proto/VALUES.md
// says what fits where; what doesn't is an error with the path. On an error, out
// may be partly filled in.
func Decode(data []byte, out any) error { return decodeInto(data, out, false) }

// DecodeStrict is Decode for arguments: a field that a struct doesn't have is an
// error, and so is a missing one, unless it's a pointer, an interface, or marked omitempty
// or omitzero.
func DecodeStrict(data []byte, out any) error { return decodeInto(data, out, true) }

func decodeInto(data []byte, out any, strict bool) error {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &Error{Path: "$", Message: fmt.Sprintf("can't decode into %T: it's no pointer", out)}
	}
	d := decoder{newReader(data, 0), strict}
	if err := d.value(v.Elem()); err != nil {
		return final(err)
	}
	return final(d.end())
}

// A decoder reads values into Go variables.
type decoder struct {
	*reader
	strict bool
}

func (d decoder) parser() parser { return parser{d.reader, false} }

func (d decoder) value(v reflect.Value) error {
	k, err := d.kind()
	if err != nil {
		return err
	}
	if k == kindNil {
		v.SetZero()
		_, err := d.number(k)
		return err
	}
	if v.Kind() == reflect.Pointer {
		return d.pointer(v)
	}
	if done, err := d.plain(k, v); done {
		return err
	}
	switch k {
	case kindArray:
		if isSequence(v) {
			return d.sequence(v)
		}
	case kindMap:
		if v.Kind() == reflect.Struct && !isOurs(v.Type()) {
			return d.structure(v)
		}
		if v.Kind() == reflect.Map {
			return d.mapping(v)
		}
		if v.Type() == reflect.TypeFor[Map]() {
			return d.ordered(v)
		}
	case kindExt:
		return d.extension(v)
	case kindInvalid, kindNil, kindBool, kindInt, kindUint, kindFloat32, kindFloat64, kindString, kindBytes:
	}
	got, err := d.parser().any()
	if err != nil {
		return err
	}
	return assign(got, v)
}

// plain reads what fits a variable of a predeclared type as it is, without a
// detour; false: it isn't that simple.
func (d decoder) plain(k kind, v reflect.Value) (done bool, err error) {
	switch {
	case v.Type().PkgPath() != "":
		return false, nil
	case k == kindFloat64 && v.Kind() == reflect.Float64:
		f, err := d.in.DecodeFloat64()
		v.SetFloat(f)
		return true, short(err)
	case k == kindInt && v.CanInt():
		n, err := d.in.DecodeInt64()
		if err == nil && v.OverflowInt(n) {
			return true, assignInt(n, v)
		}
		v.SetInt(n)
		return true, short(err)
	case k == kindString && v.Kind() == reflect.String:
		s, err := d.string()
		v.SetString(s)
		return true, err
	}
	return false, nil
}

func (d decoder) pointer(v reflect.Value) error {
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	if err := d.enter(); err != nil { // a type may be a pointer to itself
		return err
	}
	defer d.leave()
	return d.value(v.Elem())
}

// isSequence: a Go array or slice that isn't bytes.
func isSequence(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Type().Elem().Kind() != reflect.Uint8 &&
		v.Type() != reflect.TypeFor[Map]()
}

func (d decoder) sequence(v reflect.Value) error {
	n, err := d.arrayLen()
	if err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return fill(v, n, func(_ int, element reflect.Value) error { return d.value(element) })
}

// fill sets n elements of a slice, or of an array that has exactly as many.
func fill(v reflect.Value, n int, set func(int, reflect.Value) error) error {
	if v.Kind() == reflect.Array {
		if v.Len() != n {
			return faultf("%d elements don't fit into %s", n, v.Type())
		}
	} else {
		v.Set(reflect.MakeSlice(v.Type(), 0, min(n, firstCap)))
	}
	for i := range n {
		if v.Kind() == reflect.Slice {
			v.Grow(1)
			v.SetLen(i + 1)
			v.Index(i).SetZero()
		}
		if err := set(i, v.Index(i)); err != nil {
			return atIndex(err, i)
		}
	}
	return nil
}

// structure reads a map into a struct.
func (d decoder) structure(v reflect.Value) error {
	n, err := d.mapLen()
	if err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	fields := fieldsOf(v.Type())
	seen := make([]bool, len(fields))
	for range n {
		if err := d.field(v, fields, seen); err != nil {
			return err
		}
	}
	return d.missing(v.Type(), fields, seen)
}

func (d decoder) field(v reflect.Value, fields []field, seen []bool) error {
	key, err := d.parser().any()
	if err != nil {
		return err
	}
	name, ok := key.(string)
	i := -1
	if ok {
		i = findField(fields, name)
	}
	if i < 0 {
		if d.strict {
			return within(faultf("there's no such field"), keyText(key))
		}
		return d.skip()
	}
	seen[i] = true
	return within(d.value(fieldAt(v, fields[i].index)), name)
}

func (d decoder) missing(t reflect.Type, fields []field, seen []bool) error {
	for i, f := range fields {
		if d.strict && !seen[i] && f.required(t) {
			return within(faultf("it's missing"), f.name)
		}
	}
	return nil
}

// fieldAt finds a field, and makes the embedded pointers on the way.
func fieldAt(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// mapping reads a map into a Go map.
func (d decoder) mapping(v reflect.Value) error {
	n, err := d.mapLen()
	if err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	v.Set(reflect.MakeMap(v.Type()))
	for range n {
		if err := d.entry(v); err != nil {
			return err
		}
	}
	return nil
}

// ordered reads a map into a Map.
func (d decoder) ordered(v reflect.Value) error {
	m, _, err := d.parser().entries()
	v.Set(reflect.ValueOf(m))
	return err
}

func (d decoder) entry(m reflect.Value) error {
	key, element := reflect.New(m.Type().Key()).Elem(), reflect.New(m.Type().Elem()).Elem()
	if err := d.value(key); err != nil {
		return within(err, "key")
	}
	if !key.Comparable() {
		return faultf("%s can't be the key of a Go map; a values.Map takes it", key.Type())
	}
	if err := d.value(element); err != nil {
		return within(err, keyText(key.Interface()))
	}
	m.SetMapIndex(key, element)
	return nil
}

// extension reads an extension; those that hold a sequence or a map are read
// element by element.
func (d decoder) extension(v reflect.Value) error {
	code, data, err := d.ext()
	if err != nil {
		return err
	}
	switch code {
	case codeTuple, codeSet, codeFrozenSet:
		if isSequence(v) {
			return d.nested(data, v)
		}
	case codeMap:
		if v.Kind() == reflect.Map {
			return d.pairs(data, v)
		}
	}
	got, err := d.parser().extension(code, data)
	if err != nil {
		return err
	}
	return assign(got, v)
}

func (d decoder) nested(data []byte, v reflect.Value) error {
	in := decoder{newReader(data, d.depth), d.strict}
	if k, err := in.kind(); err != nil || k != kindArray {
		return faultf("an extension holds no array")
	}
	return errors.Join(in.sequence(v), in.end())
}

func (d decoder) pairs(data []byte, v reflect.Value) error {
	in := decoder{newReader(data, d.depth), d.strict}
	n, err := in.arrayLen()
	if err != nil {
		return err
	}
	if err := in.enter(); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := range n {
		if two, err := in.arrayLen(); err != nil || two != 2 {
			return atIndex(faultf("expected a pair of key and value"), i)
		}
		if err := in.entry(v); err != nil {
			return err
		}
	}
	return in.end()
}
