package values_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/snakepit-go/snakepit/proto/values"
)

// FuzzDecode: whatever decodes encodes again, into data that decodes to the same;
// and nothing panics.
func FuzzDecode(f *testing.F) {
	for _, line := range golden(f) {
		f.Add(line.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var typed sample
		_ = values.DecodeStrict(data, &typed)
		var numbers map[string][][]float32
		_ = values.Decode(data, &numbers)
		var v any
		if err := values.Decode(data, &v); err != nil {
			return
		}
		once := encode(t, v)
		var again any
		if err := values.Decode(once, &again); err != nil {
			t.Fatalf("what was written doesn't decode: %v", err)
		}
		if twice := encode(t, again); !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x", once, twice)
		}
		if text, err := values.ToJSON(data); err != nil || !json.Valid(text) {
			t.Fatalf("ToJSON = %s, %v", text, err)
		}
	})
}

// FuzzFromJSON: whatever encodes decodes, and nothing panics.
func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.5, {"$bytes": "aGk="}, {"$tuple": [null, true]}]}`))
	f.Add([]byte(`{"$array": {"dtype": "|u1", "shape": [1], "data": "eA=="}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		data, err := values.FromJSON(text)
		if err != nil {
			return
		}
		var v any
		if err := values.Decode(data, &v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
