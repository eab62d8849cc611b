package values

import "github.com/vmihailenco/msgpack/v5/msgpcode"

// isNativeKey reports whether a value that begins with this byte may be a key of
// a msgpack map: nil, bool, number, str or bin.
func isNativeKey(c byte) bool {
	switch kindOf(c) {
	case kindArray, kindMap, kindExt, kindInvalid:
		return false
	case kindNil, kindBool, kindInt, kindUint, kindFloat32, kindFloat64, kindString, kindBytes:
		return true
	}
	return false
}

// A kind is a family of msgpack codes.
type kind int

const (
	kindInvalid kind = iota
	kindNil
	kindBool
	kindInt
	kindUint
	kindFloat32
	kindFloat64
	kindString
	kindBytes
	kindArray
	kindMap
	kindExt
)

func kindOf(c byte) kind {
	switch {
	case msgpcode.IsFixedNum(c):
		return kindInt
	case msgpcode.IsString(c):
		return kindString
	case msgpcode.IsBin(c):
		return kindBytes
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		return kindArray
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		return kindMap
	case msgpcode.IsExt(c):
		return kindExt
	}
	return otherKind(c)
}

func otherKind(c byte) kind {
	switch c {
	case msgpcode.Nil:
		return kindNil
	case msgpcode.False, msgpcode.True:
		return kindBool
	case msgpcode.Int8, msgpcode.Int16, msgpcode.Int32, msgpcode.Int64:
		return kindInt
	case msgpcode.Uint8, msgpcode.Uint16, msgpcode.Uint32, msgpcode.Uint64:
		return kindUint
	case msgpcode.Float:
		return kindFloat32
	case msgpcode.Double:
		return kindFloat64
	}
	return kindInvalid
}

func keyText(key any) string {
	if s, ok := key.(string); ok {
		return s
	}
	return describe(key)
}
