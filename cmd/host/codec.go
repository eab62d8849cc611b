package main

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/snakepit-go/snakepit/proto/values"
)

// decodeJSON reads one JSON value, with the names of types that JSON hasn't
// (proto/VALUES.md). Whole numbers keep every digit.
func decodeJSON(text []byte) (any, error) {
	packed, err := values.FromJSON(text)
	if err != nil {
		return nil, err
	}
	var v any
	err = values.Decode(packed, &v)
	return v, err
}

// plain is the value where it's text or bytes, else nil. Bytes are []byte, text is a string.
func plain(payload []byte) any {
	if len(payload) == 0 || container(payload[0]) {
		return nil
	}
	var v any
	if values.Decode(payload, &v) != nil {
		return nil
	}
	switch v := v.(type) {
	case string, []byte:
		return v
	case values.ByteArray:
		return []byte(v)
	default:
		return nil
	}
}

// container reports whether a value that begins with b is an array or a map, and
// so perhaps large.
func container(b byte) bool { return b >= 0x80 && b <= 0x9f || b >= 0xdc && b <= 0xdf }

// writeIndented writes a value as JSON for people.
func writeIndented(w io.Writer, payload []byte) error {
	text, err := values.ToJSON(payload)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err = w.Write(b.Bytes())
	return err
}

// writeLine writes a value as one line of JSON.
func writeLine(w io.Writer, payload []byte) error {
	text, err := values.ToJSON(payload)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
