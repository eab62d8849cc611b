package values

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"time"
)

// isOurs: struct types that are values by themselves, not maps.
func isOurs(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int](), reflect.TypeFor[NaiveTime](), reflect.TypeFor[Date](),
		reflect.TypeFor[Clock](), reflect.TypeFor[Marker](), reflect.TypeFor[Arrow](), reflect.TypeFor[Ext](),
		reflect.TypeFor[Array](), reflect.TypeFor[Scalar]():
		return true
	}
	return false
}

// assignTo sets *out to a value of any kind, where it fits exactly.
func assignTo[T any](got any, out *T) error { return assign(got, reflect.ValueOf(out).Elem()) }

// assign sets a variable to a value that was read, where it fits without loss.
func assign(got any, v reflect.Value) error {
	if got == nil {
		v.SetZero()
		return nil
	}
	g := reflect.ValueOf(got)
	if g.Type().AssignableTo(v.Type()) {
		v.Set(g)
		return nil
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return assign(got, p.Elem())
	}
	if simple, ok := simpler(got); ok {
		return assign(simple, v)
	}
	if done, err := assignText(got, v); done {
		return err
	}
	return assignKind(got, v)
}

// simpler is the plain Go value of a numpy scalar.
func simpler(got any) (any, bool) {
	s, ok := got.(Scalar)
	if !ok {
		return nil, false
	}
	plain := s.Value()
	return plain, plain != nil
}

// assignText sets what reads itself from text; false: v doesn't, or got is none.
func assignText(got any, v reflect.Value) (done bool, err error) {
	if !v.CanAddr() || (isOurs(v.Type()) && v.Type() != reflect.TypeFor[time.Time]()) {
		return false, nil
	}
	if _, isText := got.(string); !isText && isOurs(v.Type()) {
		return false, nil
	}
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	text, isText := textOf(got)
	if !ok || !isText {
		return false, nil
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		return true, faultf("%v", err)
	}
	return true, nil
}

// textOf is the text of values that are text, or whose layout is.
func textOf(got any) (string, bool) {
	switch got := got.(type) {
	case string:
		return got, true
	case Decimal:
		return string(got), true
	case time.Time:
		return got.Format(time.RFC3339Nano), true
	case UUID:
		return got.String(), true
	case NaiveTime:
		return got.String(), true
	case Date:
		return got.String(), true
	case Clock:
		return got.String(), true
	}
	return "", false
}

func assignKind(got any, v reflect.Value) error {
	switch v.Kind() { //nolint:exhaustive // nothing fits the others
	case reflect.Bool:
		if b, ok := got.(bool); ok {
			v.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return assignInt(got, v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return assignUint(got, v)
	case reflect.Float32, reflect.Float64:
		return assignFloat(got, v)
	case reflect.Complex64, reflect.Complex128:
		return assignComplex(got, v)
	case reflect.String:
		if s, ok := textOf(got); ok {
			v.SetString(s)
			return nil
		}
	case reflect.Slice, reflect.Array:
		return assignSequence(got, v)
	case reflect.Struct:
		return assignStruct(got, v)
	}
	return mismatch(got, v)
}

func mismatch(got any, v reflect.Value) error {
	if m, ok := got.(Marker); ok {
		return faultf("a %s couldn't travel: %s", m.Type, m.Why)
	}
	return faultf("expected %s, got %s", nameOf(v.Type()), describe(got))
}

// describe names a value as its sender would.
func describe(got any) string {
	switch got := got.(type) {
	case string:
		return fmt.Sprintf("the string %q", got[:min(len(got), 32)])
	case []byte:
		return "bytes"
	case []any:
		return "an array"
	case map[string]any, Map:
		return "a map"
	case Array:
		return fmt.Sprintf("an array of shape %v", got.Shape[:min(len(got.Shape), 8)])
	case *big.Int:
		return fmt.Sprintf("an int of %d bits", got.BitLen())
	case bool, int64, uint64, float32, float64, Scalar:
		return fmt.Sprint(got)
	case time.Time, NaiveTime:
		return "a datetime"
	case time.Duration:
		return "a timedelta"
	}
	return fmt.Sprintf("a %T", got)
}

// nameOf names a Go type as a caller who may not know Go would.
func nameOf(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // the others have Go's names
	case reflect.Struct, reflect.Map:
		if !isOurs(t) {
			return "a map"
		}
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "an array"
	}
	return t.String()
}

// wholeOf is a number as a big.Int; false where it's none, or has a fraction.
func wholeOf(got any) (*big.Int, bool) {
	if n, ok := got.(*big.Int); ok {
		return n, true
	}
	g := reflect.ValueOf(got)
	switch {
	case g.Type() == reflect.TypeFor[time.Duration]():
		return nil, false
	case g.CanInt():
		return big.NewInt(g.Int()), true
	case g.CanUint():
		return new(big.Int).SetUint64(g.Uint()), true
	case g.CanFloat() && !math.IsInf(g.Float(), 0) && g.Float() == math.Trunc(g.Float()):
		n, _ := big.NewFloat(g.Float()).Int(nil)
		return n, true
	}
	return nil, false
}

func assignInt(got any, v reflect.Value) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return assignSeconds(got, v)
	}
	n, ok := wholeOf(got)
	if !ok {
		return faultf("expected an integer, got %s", describe(got))
	}
	if !n.IsInt64() || v.OverflowInt(n.Int64()) {
		return faultf("%s doesn't fit into %s", describe(got), v.Type())
	}
	v.SetInt(n.Int64())
	return nil
}

// assignSeconds: a number is a duration in seconds, as in Python and JSON.
func assignSeconds(got any, v reflect.Value) error {
	d, err := fromSeconds(got)
	if err != nil {
		return faultf("expected a timedelta, or %v, got %s", err, describe(got))
	}
	v.Set(reflect.ValueOf(d))
	return nil
}

func assignUint(got any, v reflect.Value) error {
	n, ok := wholeOf(got)
	if !ok {
		return faultf("expected an integer, got %s", describe(got))
	}
	if !n.IsUint64() || v.OverflowUint(n.Uint64()) {
		return faultf("%s doesn't fit into %s", describe(got), v.Type())
	}
	v.SetUint(n.Uint64())
	return nil
}

func assignFloat(got any, v reflect.Value) error {
	if g := reflect.ValueOf(got); g.CanFloat() {
		return setFloat(g.Float(), got, v)
	}
	n, ok := wholeOf(got)
	if !ok {
		return faultf("expected a number, got %s", describe(got))
	}
	f, accuracy := new(big.Float).SetInt(n).Float64()
	if accuracy != big.Exact {
		return faultf("%s doesn't fit into %s exactly", describe(got), v.Type())
	}
	return setFloat(f, got, v)
}

// setFloat rounds a float to the nearest float32, but takes an int only exactly.
func setFloat(f float64, got any, v reflect.Value) error {
	if v.Kind() == reflect.Float32 {
		if _, isInt := wholeOf(got); isInt && float64(float32(f)) != f {
			return faultf("%s doesn't fit into %s exactly", describe(got), v.Type())
		}
		if v.OverflowFloat(f) {
			return faultf("%s doesn't fit into %s", describe(got), v.Type())
		}
	}
	v.SetFloat(f)
	return nil
}

func assignComplex(got any, v reflect.Value) error {
	g := reflect.ValueOf(got)
	if g.CanComplex() {
		v.SetComplex(g.Complex())
		return nil
	}
	var f float64
	if err := assignTo(got, &f); err != nil {
		return err
	}
	v.SetComplex(complex(f, 0))
	return nil
}

func assignSequence(got any, v reflect.Value) error {
	switch got := got.(type) {
	case []byte:
		return assignBytes(got, v)
	case ByteArray:
		return assignBytes(got, v)
	case Array:
		return assignArray(got, v)
	}
	g := reflect.ValueOf(got)
	if g.Kind() != reflect.Slice || !isSequence(v) {
		return mismatch(got, v)
	}
	return fill(v, g.Len(), func(i int, element reflect.Value) error { return assign(g.Index(i).Interface(), element) })
}

func assignBytes(b []byte, v reflect.Value) error {
	if v.Type().Elem().Kind() != reflect.Uint8 {
		return mismatch(b, v)
	}
	if v.Kind() == reflect.Slice {
		v.SetBytes(b)
		return nil
	}
	if v.Len() != len(b) {
		return faultf("%d bytes don't fit into %s", len(b), v.Type())
	}
	reflect.Copy(v, reflect.ValueOf(b))
	return nil
}

// assignArray sets a slice, nested as deep as the array has dimensions.
func assignArray(a Array, v reflect.Value) error {
	d, err := a.check()
	if err != nil {
		return err
	}
	if len(a.Shape) == 0 || !a.listable() {
		return mismatch(a, v)
	}
	rest, stride := a.Shape[1:], 0
	if a.Shape[0] > 0 {
		stride = len(a.Data) / a.Shape[0]
	}
	return fill(v, a.Shape[0], func(i int, element reflect.Value) error {
		part := a.Data[i*stride : (i+1)*stride]
		if len(rest) > 0 {
			return assign(Array{DType: a.DType, Shape: rest, Data: part}, element)
		}
		return assign(d.value(part), element)
	})
}

func assignStruct(got any, v reflect.Value) error {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		switch got := got.(type) {
		case NaiveTime:
			v.Set(reflect.ValueOf(got.Time))
			return nil
		case Date:
			v.Set(reflect.ValueOf(got.Time()))
			return nil
		}
	case reflect.TypeFor[big.Int]():
		if n, ok := wholeOf(got); ok {
			if p, isInt := v.Addr().Interface().(*big.Int); isInt {
				p.Set(n)
				return nil
			}
		}
	}
	return mismatch(got, v)
}
