package values

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// A reader reads msgpack from memory. Bytes that it gives are the caller's own
// data, not copies.
type reader struct {
	data  []byte
	src   *bytes.Reader
	in    *msgpack.Decoder
	depth int
}

func newReader(data []byte, depth int) *reader {
	src := bytes.NewReader(data)
	return &reader{data: data, src: src, in: msgpack.NewDecoder(src), depth: depth}
}

// kind is what comes next.
func (r *reader) kind() (kind, error) {
	if r.src.Len() == 0 {
		return kindInvalid, faultf("the data ends too soon")
	}
	c := r.data[r.offset()]
	k := kindOf(c)
	if k == kindInvalid {
		return k, faultf("byte %d is %#x, which begins no value", r.offset(), c)
	}
	return k, nil
}

func (r *reader) offset() int { return len(r.data) - r.src.Len() }

// end checks that nothing is left.
func (r *reader) end() error {
	if r.src.Len() != 0 {
		return faultf("%d bytes follow after the value", r.src.Len())
	}
	return nil
}

func (r *reader) enter() error {
	if r.depth >= MaxDepth {
		return faultf("nested deeper than %d", MaxDepth)
	}
	r.depth++
	return nil
}

func (r *reader) leave() { r.depth-- }

// take gives the next n bytes.
func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > r.src.Len() {
		return nil, faultf("the data ends too soon")
	}
	start := r.offset()
	if _, err := r.src.Seek(int64(n), io.SeekCurrent); err != nil {
		return nil, err
	}
	return r.data[start : start+n : start+n], nil
}

// bytes reads a str or bin.
func (r *reader) bytes() ([]byte, error) {
	n, err := r.in.DecodeBytesLen()
	if err != nil {
		return nil, short(err)
	}
	return r.take(n)
}

func (r *reader) string() (string, error) {
	b, err := r.bytes()
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", faultf("a string isn't UTF-8")
	}
	return string(b), nil
}

// length reads the length of an array or a map of which each entry takes at
// least the given number of bytes.
func (r *reader) length(read func() (int, error), entry int) (int, error) {
	n, err := read()
	if err != nil {
		return 0, short(err)
	}
	if n < 0 || n > r.src.Len()/entry {
		return 0, faultf("the data ends too soon")
	}
	return n, nil
}

func (r *reader) arrayLen() (int, error) { return r.length(r.in.DecodeArrayLen, 1) }
func (r *reader) mapLen() (int, error)   { return r.length(r.in.DecodeMapLen, 2) }

// ext reads an extension's code and data.
func (r *reader) ext() (int8, []byte, error) {
	code, n, err := r.in.DecodeExtHeader()
	if err != nil {
		return 0, nil, short(err)
	}
	data, err := r.take(n)
	return code, data, err
}

// skip passes over a value.
func (r *reader) skip() error {
	k, err := r.kind()
	if err != nil {
		return err
	}
	switch k {
	case kindArray:
		n, err := r.arrayLen()
		return r.skipN(n, err)
	case kindMap:
		n, err := r.mapLen()
		return r.skipN(2*n, err)
	case kindExt:
		_, _, err := r.ext()
		return err
	case kindString, kindBytes:
		_, err := r.bytes()
		return err
	case kindInvalid, kindNil, kindBool, kindInt, kindUint, kindFloat32, kindFloat64:
	}
	_, err = r.number(k)
	return err
}

func (r *reader) skipN(n int, err error) error {
	if err != nil {
		return err
	}
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	for range n {
		if err := r.skip(); err != nil {
			return err
		}
	}
	return nil
}

// number reads nil, a bool or a number.
func (r *reader) number(k kind) (v any, err error) {
	switch k {
	case kindNil:
		return nil, short(r.in.DecodeNil())
	case kindBool:
		v, err = r.in.DecodeBool()
	case kindInt:
		v, err = r.in.DecodeInt64()
	case kindUint:
		v, err = r.uint()
	case kindFloat32:
		v, err = r.in.DecodeFloat32()
	case kindFloat64:
		v, err = r.in.DecodeFloat64()
	case kindInvalid, kindString, kindBytes, kindArray, kindMap, kindExt:
		return nil, faultf("expected a number")
	}
	return v, short(err)
}

// uint gives an int64 where that's enough.
func (r *reader) uint() (any, error) {
	n, err := r.in.DecodeUint64()
	if n <= 1<<63-1 {
		return int64(n), err
	}
	return n, err
}

// short gives the msgpack package's errors our words.
func short(err error) error {
	if err == nil {
		return nil
	}
	return faultf("the data ends too soon")
}
