package values

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// The extension codes of proto/VALUES.md.
const (
	codeTimestamp  = -1 // msgpack's own, only read
	codeBigInt     = 1
	codeDateTime   = 2
	codeDate       = 3
	codeClock      = 4
	codeDuration   = 5
	codeDecimal    = 6
	codeUUID       = 7
	codeTuple      = 8
	codeSet        = 9
	codeFrozenSet  = 10
	codeComplex    = 11
	codeText       = 12
	codeByteArray  = 13
	codeNDArray    = 14
	codeScalar     = 15
	codeMemoryView = 16
	codePyArray    = 17
	codeArrow      = 18
	codeMarker     = 19
	codeMap        = 20
)

// Decimal is a decimal number as text: "1.50", "-1E+5", "NaN", "Infinity".
type Decimal string

// UUID is a universally unique identifier.
type UUID [16]byte //nolint:recvcheck // only reading text changes it

// String is the usual form: 00112233-4455-6677-8899-aabbccddeeff.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText is String.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the form that String writes.
func (u *UUID) UnmarshalText(text []byte) error {
	s := string(text)
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return faultf("%q is no UUID", s[:min(len(s), 64)])
	}
	raw, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return faultf("%q is no UUID", s)
	}
	copy(u[:], raw)
	return nil
}

// Tuple is a Python tuple.
type Tuple []any

// Set is a Python set. The order of its items means nothing.
type Set []any

// FrozenSet is a Python frozenset. The order of its items means nothing.
type FrozenSet []any

// ByteArray is a Python bytearray.
type ByteArray []byte

// Map is a map with keys of any type, in order. A dict whose keys are all
// strings is a map[string]any instead.
type Map []Entry

// Entry is one entry of a [Map].
type Entry struct {
	Key, Value any
}

// Marker stands where Python had a value that can't travel.
type Marker struct {
	Type string // the value's class, with its module
	Why  string
	Repr string // its repr, cut and redacted; empty: not asked for
}

// String is "<mod.Class: no encoding>".
func (m Marker) String() string {
	if m.Repr != "" {
		return fmt.Sprintf("<%s: %s: %s>", m.Type, m.Why, m.Repr)
	}
	return fmt.Sprintf("<%s: %s>", m.Type, m.Why)
}

// Arrow is an Arrow table or record batch.
type Arrow struct {
	Batch bool   // a record batch, not a table
	IPC   []byte // an Arrow IPC stream
}

// Ext is a value of an extension type that this program doesn't know or can't
// hold. It's written back unchanged.
type Ext struct {
	Code int8
	Data []byte
}

// Scalar is a numpy scalar: a number, bool, text or date with its exact type.
type Scalar struct {
	DType string // numpy's dtype.str: "<f4"
	Data  []byte // its bytes
}

// Value is the scalar as Go has it: bool, int8 to int64, uint8 to uint64,
// float32, float64, complex64, complex128, string or []byte; float16 is a float32. It's nil where Go has
// nothing like it, as for datetime64.
func (s Scalar) Value() any {
	d, err := parseDType(s.DType)
	if err != nil || len(s.Data) != d.size {
		return nil
	}
	return d.value(s.Data)
}

// String is the value's text.
func (s Scalar) String() string {
	if v := s.Value(); v != nil {
		return fmt.Sprint(v)
	}
	return s.DType + " " + strconv.Quote(string(s.Data))
}
