package values_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/proto/values"
)

func jsonRaw(s string) json.RawMessage { return json.RawMessage(s) }

func TestJSONIsReadable(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{values.Map{{Key: "z", Value: 1}, {Key: "a", Value: nil}}, `{"z":1,"a":null}`},
		{[]any{math.NaN(), math.Inf(1), math.Inf(-1)}, `["NaN","Infinity","-Infinity"]`},
		{[]any{1.0, 0.1, 1e300, 1e-9, float32(0.1)}, `[1.0,0.1,1e+300,1e-09,0.1]`},
		{new(big.Int).Lsh(big.NewInt(1), 70), `1180591620717411303424`},
		{[]byte("hi"), `"aGk="`},
		{time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC), `"2024-02-29T12:30:00+00:00"`},
		{values.Date{Year: 2024, Month: 2, Day: 29}, `"2024-02-29"`},
		{90 * time.Second, `90.0`},
		{values.Decimal("1.50"), `"1.50"`},
		{values.Tuple{1, values.Set{true}}, `[1,[true]]`},
		{1 - 2i, `{"real":1.0,"imag":-2.0}`},
		{array(values.NDArray, "|i1", "\x01\x02\xff\x04", 2, 2), `[[1,2],[-1,4]]`},
		{array(values.NDArray, "|i1", "\x07"), `7`},
		{array(values.NDArray, "|i1", "", 0, 3), `[]`},
		{values.Scalar{DType: "<f4", Data: []byte{0, 0, 0, 0x3f}}, `0.5`},
		{values.Scalar{DType: "<M8[D]", Data: make([]byte, 8)}, `{"$ext":[15,"kqY8TThbRF3ECAAAAAAAAAAA"]}`},
		{values.Map{{Key: 1, Value: "x"}, {Key: true, Value: nil}, {Key: nil, Value: 2.5}}, `{"1":"x","true":null,"null":2.5}`},
		{values.Map{{Key: values.Tuple{1}, Value: "x"}}, `{"$map":[[[1],"x"]]}`},
		{values.Marker{Type: "a.B", Why: "no encoding"}, `{"$marker":{"type":"a.B","why":"no encoding"}}`},
		{values.Ext{Code: 100, Data: []byte("x")}, `{"$ext":[100,"eA=="]}`},
		{"a\xed\xa0\x80b<>", "\"a\ufffd\ufffd\ufffdb<>\""},
	} {
		got, err := values.ToJSON(encode(t, c.v))
		want := strings.ReplaceAll(c.want, "\ufffd", `\ufffd`)
		if err != nil || string(got) != want {
			t.Errorf("%v = %s, %v; want %s", c.v, got, err, want)
		}
		if !json.Valid(got) {
			t.Errorf("%s isn't JSON", got)
		}
	}
}

func TestDecodedValuesMarshalAsToJSONDoes(t *testing.T) {
	for _, line := range golden(t) {
		var v any
		if err := values.Decode(line.data, &v); err != nil {
			t.Fatal(err)
		}
		if line.name == "nan" || line.name == "infinity" || line.name == "complex" {
			continue // encoding/json has no words for these
		}
		if got, err := json.Marshal(v); err != nil || !json.Valid(got) {
			t.Errorf("%s: %s, %v", line.name, got, err)
		}
	}
}

func TestJSONNamesTypesThatItHasNot(t *testing.T) {
	for in, want := range map[string]any{
		`{"$bytes": "aGk="}`:                                         []byte("hi"),
		`{"$datetime": "2024-02-29T12:30:00"}`:                       values.NaiveTime{Time: time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)},
		`{"$datetime": "2024-02-29T12:30:00Z"}`:                      time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC),
		`{"$date": "2024-02-29"}`:                                    values.Date{Year: 2024, Month: 2, Day: 29},
		`{"$time": "12:30:00"}`:                                      values.Clock{Hour: 12, Minute: 30},
		`{"$timedelta": 1.5}`:                                        1500 * time.Millisecond,
		`{"$decimal": "1.50"}`:                                       values.Decimal("1.50"),
		`{"$tuple": [1, {"$set": [2]}]}`:                             values.Tuple{int64(1), values.Set{int64(2)}},
		`{"$frozenset": []}`:                                         values.FrozenSet{},
		`{"$complex": [1, -2]}`:                                      1 - 2i,
		`{"$float": "NaN"}`:                                          math.NaN(),
		`{"$map": [["$bytes", 1]]}`:                                  map[string]any{"$bytes": int64(1)},
		`{"$ext": [100, "eA=="]}`:                                    values.Ext{Code: 100, Data: []byte("x")},
		`{"$array": {"dtype": "|u1", "shape": [1], "data": "eA=="}}`: values.Array{DType: "|u1", Shape: []int{1}, Data: []byte("x")},
		`{"$uuid": "00000000-0000-0000-0000-000000000001"}`:          values.UUID{15: 1},
		`{"$ref": "x"}`:                                              map[string]any{"$ref": "x"},
		`{"$bytes": "x", "b":1}`:                                     map[string]any{"$bytes": "x", "b": int64(1)},
		`[1, -1.0, 1e2, 18446744073709551616]`:                       []any{int64(1), -1.0, 100.0, new(big.Int).Lsh(big.NewInt(1), 64)},
	} {
		data, err := values.FromJSON([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var got any
		if err := values.Decode(data, &got); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if diff := cmp.Diff(want, got, same()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestBadJSONIsAClearError(t *testing.T) {
	for in, want := range map[string]string{
		``:                             "$: the JSON ends too soon",
		`{"a": [1, `:                   "$.a[1]: the JSON ends too soon",
		`{"a": nope}`:                  "$.a: byte",
		`{} {}`:                        "something follows after the JSON value",
		`{"x": {"$uuid": "zz"}}`:       `$.x["$uuid"]: "$uuid" expects a uuid`,
		`{"$bytes": 1}`:                `expects base64`,
		`{"$timedelta": 1e30}`:         "at most 292 years",
		`1e999`:                        "no number that a float64 holds",
		strings.Repeat("9", 20_000):    "too long",
		strings.Repeat("[", 200):       "deeper than 128",
		`{"$array": {"dtype": "|O8"}}`: `"$array" expects`,
		`{"$map": [[1]]}`:              "an array of [key, value]",
	} {
		if _, err := values.FromJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v; want …%s…", in, err, want)
		}
	}
}

func TestHugeIntsDoNotStallJSON(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 1<<23)
	got, err := values.ToJSON(encode(t, huge))
	if err != nil || !strings.HasPrefix(string(got), `{"$ext":[1,"`) {
		t.Errorf("%.40s, %v", got, err)
	}
}

func TestLargeArraysAreNotListed(t *testing.T) {
	a, err := values.ArrayOf(make([]bool, 1<<20+1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := values.ToJSON(encode(t, a))
	if err != nil || !strings.HasPrefix(string(got), `{"$array":{"dtype":"|b1","shape":[1048577],"data":"`) {
		t.Errorf("%.60s, %v", got, err)
	}
}
