package values

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Array is an array of numbers, bools, dates or fixed-width text.
type Array struct {
	Kind  ArrayKind
	DType string // numpy's dtype.str: "<f8" is a little-endian float64
	Shape []int  // empty: one element without dimensions
	Data  []byte // the elements, in C order
}

// ArrayKind says what an array is in Python.
type ArrayKind int

// The kinds of arrays.
const (
	NDArray    ArrayKind = iota // numpy.ndarray
	MemoryView                  // memoryview
	PyArray                     // array.array
)

func (k ArrayKind) code() int8 {
	return map[ArrayKind]int8{NDArray: codeNDArray, MemoryView: codeMemoryView, PyArray: codePyArray}[k]
}

// Number is what arrays are made of and converted to.
type Number interface {
	bool | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 | complex64 | complex128
}

// ArrayOf makes a numpy array of the elements, in C order. Without a shape it has
// one dimension.
func ArrayOf[T Number](elements []T, shape ...int) (Array, error) {
	if len(shape) == 0 {
		shape = []int{len(elements)}
	}
	n, err := product(shape)
	if err != nil || n != len(elements) {
		return Array{}, final(faultf("%d elements don't have the shape %v", len(elements), shape))
	}
	data, err := binary.Append(nil, binary.LittleEndian, elements)
	if err != nil {
		return Array{}, final(err)
	}
	return Array{DType: dtypeOf[T](), Shape: slices.Clone(shape), Data: data}, nil
}

// Elements gives an array's elements in C order, as Ts. Each must be a T exactly.
func Elements[T Number](a Array) ([]T, error) {
	d, err := a.check()
	if err != nil {
		return nil, final(err)
	}
	n := len(a.Data) / d.size
	out := make([]T, n)
	if a.DType[1:] == dtypeOf[T]()[1:] {
		_, err = binary.Decode(a.Data, d.order, out)
		return out, final(err)
	}
	for i := range out {
		if err := assignTo(d.value(a.Data[i*d.size:][:d.size]), &out[i]); err != nil {
			return nil, final(atIndex(err, i))
		}
	}
	return out, nil
}

// check reports whether shape and data fit together.
func (a Array) check() (dtype, error) {
	d, err := parseDType(a.DType)
	if err != nil {
		return d, err
	}
	n, err := product(a.Shape)
	if err != nil || len(a.Data)%d.size != 0 || n != len(a.Data)/d.size {
		return d, faultf("%d bytes of %s don't have the shape %v", len(a.Data), a.DType, a.Shape[:min(len(a.Shape), 8)])
	}
	return d, nil
}

// listable reports whether an array may be written out: one without elements may
// still claim to have a billion empty rows.
func (a Array) listable() bool {
	rows := 1
	for _, length := range a.Shape {
		rows *= max(length, 1)
		if rows > max(maxListed, len(a.Data)) {
			return false
		}
	}
	return true
}

// maxDimensions is numpy's.
const maxDimensions = 64

// product is the number of elements, bounded.
func product(shape []int) (int, error) {
	n := 1
	if len(shape) > maxDimensions {
		return 0, faultf("%d dimensions are too many", len(shape))
	}
	for _, length := range shape {
		if length < 0 || (length > 0 && n > math.MaxInt32*64/length) {
			return 0, faultf("impossible shape")
		}
		n *= length
	}
	return n, nil
}

// A dtype is numpy's name for how an element is laid out.
type dtype struct {
	order binary.ByteOrder
	kind  byte // b i u f c m M S U
	size  int  // bytes
}

func parseDType(s string) (dtype, error) {
	if len(s) < 3 || len(s) > 32 || !strings.Contains("<>|=", s[:1]) || !strings.Contains("biufcmMSU", s[1:2]) {
		return dtype{}, faultf("dtype %q isn't allowed", s[:min(len(s), 32)])
	}
	digits, unit, _ := strings.Cut(s[2:], "[")
	size := 0
	for _, c := range digits {
		if c < '0' || c > '9' || size > 1e7 {
			return dtype{}, faultf("dtype %q isn't allowed", s)
		}
		size = size*10 + int(c-'0')
	}
	if s[1] == 'U' {
		size *= 4
	}
	if size == 0 || (unit != "" && !strings.HasSuffix(unit, "]")) {
		return dtype{}, faultf("dtype %q isn't allowed", s)
	}
	d := dtype{order: binary.LittleEndian, kind: s[1], size: size}
	if s[0] == '>' {
		d.order = binary.BigEndian
	}
	return d, nil
}

func dtypeOf[T Number]() string {
	var zero T
	switch any(zero).(type) {
	case bool:
		return "|b1"
	case int8:
		return "|i1"
	case uint8:
		return "|u1"
	case int16:
		return "<i2"
	case uint16:
		return "<u2"
	case int32:
		return "<i4"
	case uint32:
		return "<u4"
	case int64:
		return "<i8"
	case uint64:
		return "<u8"
	case float32:
		return "<f4"
	case float64:
		return "<f8"
	case complex64:
		return "<c8"
	}
	return "<c16"
}

// value reads one element; nil where Go has nothing like it.
func (d dtype) value(b []byte) any {
	switch d.kind {
	case 'b':
		return b[0] != 0
	case 'i':
		return d.int(b)
	case 'u':
		return d.uint(b)
	case 'f':
		return d.float(b)
	case 'c':
		return d.complex(b)
	case 'S':
		return slices.Clone(b[:textLen(b, 1)])
	case 'U':
		return d.text(b)
	}
	return nil
}

func (d dtype) int(b []byte) any {
	switch d.size {
	case 1:
		return int8(b[0]) //nolint:gosec // two's complement, here and below
	case 2:
		return int16(d.order.Uint16(b)) //nolint:gosec // as above
	case 4:
		return int32(d.order.Uint32(b)) //nolint:gosec // as above
	case 8:
		return int64(d.order.Uint64(b)) //nolint:gosec // as above
	}
	return nil
}

func (d dtype) uint(b []byte) any {
	switch d.size {
	case 1:
		return b[0]
	case 2:
		return d.order.Uint16(b)
	case 4:
		return d.order.Uint32(b)
	case 8:
		return d.order.Uint64(b)
	}
	return nil
}

func (d dtype) float(b []byte) any {
	switch d.size {
	case 2:
		return halfFloat(d.order.Uint16(b))
	case 4:
		return math.Float32frombits(d.order.Uint32(b))
	case 8:
		return math.Float64frombits(d.order.Uint64(b))
	}
	return nil
}

func (d dtype) complex(b []byte) any {
	switch d.size {
	case 8:
		return complex(math.Float32frombits(d.order.Uint32(b)), math.Float32frombits(d.order.Uint32(b[4:])))
	case 16:
		return complex(math.Float64frombits(d.order.Uint64(b)), math.Float64frombits(d.order.Uint64(b[8:])))
	}
	return nil
}

func (d dtype) text(b []byte) string {
	b = b[:textLen(b, 4)]
	var out strings.Builder
	for i := 0; i < len(b); i += 4 {
		r := rune(utf8.RuneError)
		if c := d.order.Uint32(b[i:]); c <= utf8.MaxRune {
			r = rune(c)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// textLen is the length of fixed-width text without the zero characters at its end.
func textLen(b []byte, width int) int {
	n := len(b)
	for n >= width && !slices.ContainsFunc(b[n-width:n], func(c byte) bool { return c != 0 }) {
		n -= width
	}
	return n
}

// halfFloat widens an IEEE 754 half.
func halfFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, int(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction × 2^-24
		f := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(f))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | uint32(exponent+127-15)<<23 | fraction<<13)
}
