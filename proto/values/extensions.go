package values

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// ext writes an extension.
func (e *encoder) ext(code int8, data []byte) error {
	if len(data) > math.MaxUint32 {
		return faultf("%d bytes are too many", len(data))
	}
	if err := e.out.EncodeExtHeader(code, len(data)); err != nil {
		return err
	}
	e.buf.Write(data)
	return nil
}

// textual writes an extension whose layout is text, unless there's an error.
func (e *encoder) textual(code int8) func(string, error) error {
	return func(text string, err error) error {
		if err != nil {
			return err
		}
		return e.ext(code, []byte(text))
	}
}

// nested writes an extension that holds encoded values.
func (e *encoder) nested(code int8, write func(*encoder) error) error {
	var buf bytes.Buffer
	if err := write(newEncoder(&buf, e.depth)); err != nil {
		return err
	}
	return e.ext(code, buf.Bytes())
}

func (e *encoder) bytes(b []byte) error {
	if b == nil {
		b = []byte{}
	}
	return e.out.EncodeBytes(b)
}

// string writes text; what isn't UTF-8 goes as an extension.
func (e *encoder) string(s string) error {
	if !utf8.ValidString(s) {
		return e.ext(codeText, []byte(s))
	}
	return e.out.EncodeString(s)
}

func (e *encoder) complex(c complex128) error {
	b := binary.BigEndian.AppendUint64(nil, math.Float64bits(real(c)))
	return e.ext(codeComplex, binary.BigEndian.AppendUint64(b, math.Float64bits(imag(c))))
}

func (e *encoder) bigInt(n *big.Int) error {
	switch {
	case n == nil:
		return e.out.EncodeNil()
	case n.IsInt64():
		return e.out.EncodeInt(n.Int64())
	case n.IsUint64():
		return e.out.EncodeUint(n.Uint64())
	}
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	return e.ext(codeBigInt, append([]byte{sign}, n.Bytes()...))
}

// number writes a JSON number: an int of any size, or a float.
func (e *encoder) number(n json.Number) error {
	v, err := parseNumber(string(n))
	if err != nil {
		return err
	}
	return e.encode(v)
}

// maxDigits bounds the time that reading or writing a number in decimal takes.
const maxDigits = 10_000

func parseNumber(s string) (any, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if len(s) > maxDigits {
		return nil, faultf("a number of %d digits is too long", len(s))
	}
	if n, ok := new(big.Int).SetString(s, 10); ok {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, faultf("%q is no number that a float64 holds", s[:min(len(s), 64)])
	}
	return f, nil
}

func (e *encoder) json(raw json.RawMessage) error {
	if len(raw) == 0 {
		return e.out.EncodeNil()
	}
	v, err := parseJSON(raw)
	if err != nil {
		return err
	}
	return e.encode(v)
}

func (e *encoder) array(a Array) error {
	if _, err := a.check(); err != nil {
		return err
	}
	return e.nested(a.Kind.code(), func(e *encoder) error {
		if err := e.out.EncodeArrayLen(3); err != nil {
			return err
		}
		if err := e.out.EncodeString(a.DType); err != nil {
			return err
		}
		shape := make([]any, len(a.Shape))
		for i, n := range a.Shape {
			shape[i] = n
		}
		if err := e.list(shape); err != nil {
			return err
		}
		// bin 32 whatever the size, as Python writes it.
		e.buf.WriteByte(0xc6)
		e.buf.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a.Data)))) //nolint:gosec // the extension's length is checked
		e.buf.Write(a.Data)
		return nil
	})
}

func (e *encoder) scalar(s Scalar) error {
	if d, err := parseDType(s.DType); err != nil || d.size != len(s.Data) {
		return faultf("%d bytes are no scalar of dtype %q", len(s.Data), s.DType)
	}
	return e.nested(codeScalar, func(e *encoder) error { return e.list([]any{s.DType, s.Data}) })
}

func (e *encoder) arrow(a Arrow) error {
	kind := byte('T')
	if a.Batch {
		kind = 'B'
	}
	return e.ext(codeArrow, append([]byte{kind}, a.IPC...))
}

func (e *encoder) marker(m Marker) error {
	entries := Map{{"type", m.Type}}
	if m.Why != "" {
		entries = append(entries, Entry{"why", m.Why})
	}
	if m.Repr != "" {
		entries = append(entries, Entry{"repr", m.Repr})
	}
	return e.nested(codeMarker, func(e *encoder) error { return e.orderedMap(entries) })
}
