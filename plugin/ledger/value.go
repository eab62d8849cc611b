package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A value in the file is a version byte, a checksum of the rest, and a JSON object.
// Fields are only ever added: a program reads what the next version and the one
// before wrote, and keeps the fields that it doesn't know when it rewrites a record.
const (
	version    = 1
	headerSize = 5
)

// maxValue bounds what is read; what is written stays far below.
const maxValue = 1 << 16

// value is a JSON object under construction, or read. Keys are exact, and unknown
// ones stay.
type value struct {
	version byte
	fields  map[string]json.RawMessage
}

func newValue() value { return value{version, map[string]json.RawMessage{}} }

// parseValue reads a value.
func parseValue(b []byte) (value, error) {
	if len(b) < headerSize || len(b) > maxValue {
		return value{}, fmt.Errorf("it has %d bytes", len(b))
	}
	if v := b[0]; v == 0 || v > version+1 {
		return value{}, fmt.Errorf("version %d wrote it, and this one reads up to %d", v, version+1)
	}
	if binary.BigEndian.Uint32(b[1:]) != checksum(b[headerSize:]) {
		return value{}, errors.New("its checksum is wrong")
	}
	v := value{version: b[0]}
	if err := json.Unmarshal(b[headerSize:], &v.fields); err != nil {
		return value{}, err
	}
	if v.fields == nil {
		return value{}, errors.New("it is null")
	}
	return v, nil
}

// bytes is the value as it is stored, under the highest version that wrote it.
func (v value) bytes() ([]byte, error) {
	body, err := json.Marshal(v.fields)
	if err != nil {
		return nil, err
	}
	if len(body) > maxValue-headerSize {
		return nil, fmt.Errorf("it would have %d bytes", len(body))
	}
	b := append(make([]byte, headerSize, headerSize+len(body)), body...)
	b[0] = max(version, v.version)
	binary.BigEndian.PutUint32(b[1:], checksum(body))
	return b, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// text and number read a field; an absent one is zero.
func (v value) text(key string, into *string) error { return v.get(key, into) }

func (v value) number(key string, into *uint64) error { return v.get(key, into) }

func (v value) small(key string, into *int) error {
	var n uint64
	if err := v.get(key, &n); err != nil {
		return err
	}
	if n > math.MaxInt32 {
		return fmt.Errorf("field %s: %d is too large", key, n)
	}
	*into = int(n)
	return nil
}

func (v value) get(key string, into any) error {
	raw, ok := v.fields[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("field %s: %w", key, err)
	}
	return nil
}

// put sets a field to a string or a number.
func (v value) put(key string, x any) {
	raw, _ := json.Marshal(x) // never fails for these
	v.fields[key] = raw
}
