package values_test

import (
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/proto/values"
)

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := values.Encode(v)
	if err != nil {
		tb.Fatalf("Encode(%v): %v", v, err)
	}
	return data
}

type Inner struct {
	Depth int `json:"depth"`
}

type sample struct {
	Inner
	Text   string             `json:"text"`
	Packed float32            `msgpack:"packed"`
	Own    []uint16           // by its own name
	Ptr    *int               `json:"ptr"`
	Skip   string             `json:"-"`
	Empty  string             `json:"empty,omitempty"`
	When   time.Time          `json:"when"`
	For    time.Duration      `json:"for"`
	Addr   netip.Addr         `json:"addr"`
	ByID   map[int]string     `json:"by_id"`
	Price  values.Decimal     `json:"price"`
	Any    map[string]any     `json:"any"`
	Pair   [2]int             `json:"pair"`
	Nested map[string][]Inner `json:"nested"`
	Big    *big.Int           `json:"big"`
	Raw    []byte             `json:"raw"`
}

func TestStructSurvivesTheRoundTrip(t *testing.T) {
	seven := 7
	in := sample{
		Inner: Inner{3}, Text: "hi", Packed: 0.5, Own: []uint16{1, 65535}, Ptr: &seven, When: time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC),
		For: 90 * time.Minute, Addr: netip.MustParseAddr("::1"), ByID: map[int]string{-1: "x", 300: "y"}, Price: "1.50",
		Any: map[string]any{"k": []any{int64(1)}}, Pair: [2]int{1, 2}, Nested: map[string][]Inner{"a": {{1}}}, Big: big.NewInt(5), Raw: []byte("b"),
	}
	var out sample
	if err := values.Decode(encode(t, in), &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out, same(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var fields map[string]any
	if err := values.Decode(encode(t, in), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"depth", "text", "packed", "Own"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no field %q", name)
		}
	}
	for _, name := range []string{"empty", "Skip", "Inner"} {
		if _, ok := fields[name]; ok {
			t.Errorf("there's a field %q", name)
		}
	}
}

func TestFieldIsFoundWithoutRegardToCase(t *testing.T) {
	var out struct{ Text string }
	if err := values.DecodeStrict(encode(t, map[string]any{"text": "hi"}), &out); err != nil || out.Text != "hi" {
		t.Errorf("got %q, %v", out.Text, err)
	}
}

// into decodes one value into a new T.
func into[T any](v any) func(testing.TB) (any, error) {
	return func(tb testing.TB) (any, error) {
		tb.Helper()
		var out T
		err := values.Decode(encode(tb, v), &out)
		return out, err
	}
}

func TestValueFitsWhereItLosesNothing(t *testing.T) {
	matrix, err := values.ArrayOf([]float64{1, 2, 3, 4}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	half := values.Scalar{DType: "<f2", Data: []byte{0x00, 0x38}}
	for name, c := range map[string]struct {
		got  func(testing.TB) (any, error)
		want any
	}{
		"int into float":             {into[float64](3), 3.0},
		"whole float into int":       {into[int](3.0), 3},
		"negative into int8":         {into[int8](-128), int8(-128)},
		"big int into uint64":        {into[uint64](new(big.Int).SetUint64(math.MaxUint64)), uint64(math.MaxUint64)},
		"int into big.Int":           {into[*big.Int](7), big.NewInt(7)},
		"float into float32":         {into[float32](0.1), float32(0.1)},
		"NaN into float64":           {into[float64](math.NaN()), math.NaN()},
		"tuple into slice":           {into[[]int](values.Tuple{1, 2}), []int{1, 2}},
		"set into slice":             {into[[]string](values.Set{"x"}), []string{"x"}},
		"matrix into nested slice":   {into[[][]float64](matrix), [][]float64{{1, 2}, {3, 4}}},
		"scalar into float":          {into[float64](half), 0.5},
		"scalar into pointer":        {into[*float64](half), new(0.5)},
		"text scalar into string":    {into[string](values.Scalar{DType: "<U2", Data: []byte("a\x00\x00\x00\x00\x00\x00\x00")}), "a"},
		"naive datetime into time":   {into[time.Time](values.NaiveTime{Time: time.Unix(0, 0).UTC()}), time.Unix(0, 0).UTC()},
		"date into time":             {into[time.Time](values.Date{Year: 1970, Month: 1, Day: 1}), time.Unix(0, 0).UTC()},
		"seconds into duration":      {into[time.Duration](1.5), 1500 * time.Millisecond},
		"text into time":             {into[time.Time]("1970-01-01T00:00:00Z"), time.Unix(0, 0).UTC()},
		"uuid into string":           {into[string](values.UUID{15: 1}), "00000000-0000-0000-0000-000000000001"},
		"string into uuid":           {into[values.UUID]("00000000-0000-0000-0000-000000000001"), values.UUID{15: 1}},
		"bytearray into bytes":       {into[[]byte](values.ByteArray("x")), []byte("x")},
		"bytes into array":           {into[[2]byte]([]byte("xy")), [2]byte{'x', 'y'}},
		"nil into int":               {into[int](nil), 0},
		"real into complex":          {into[complex128](2), 2 + 0i},
		"strings into any":           {into[any](map[string]int{"a": 1}), map[string]any{"a": int64(1)}},
		"map into Map":               {into[values.Map](map[string]int{"a": 1}), values.Map{{Key: "a", Value: int64(1)}}},
		"tuple keys into a Go map":   {into[map[[2]int]string](values.Map{{Key: values.Tuple{1, 2}, Value: "x"}}), map[[2]int]string{{1, 2}: "x"}},
		"nil slice is an empty list": {into[any]([]int(nil)), []any{}},
	} {
		got, err := c.got(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got, same()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestValueThatDoesNotFitIsAnErrorWithThePath(t *testing.T) {
	type args struct {
		N int            `json:"n"`
		L []float64      `json:"l"`
		M map[string]int `json:"m"`
	}
	for _, c := range []struct {
		in         any
		path, text string
	}{
		{map[string]any{"n": 1.5}, "$.n", "expected an integer, got 1.5"},
		{map[string]any{"n": "x"}, "$.n", `the string "x"`},
		{map[string]any{"n": time.Second}, "$.n", "a timedelta"},
		{map[string]any{"n": uint64(math.MaxUint64)}, "$.n", "doesn't fit into int"},
		{map[string]any{"l": []any{1, 1<<53 + 1}}, "$.l[1]", "exactly"},
		{map[string]any{"l": values.Tuple{1, true}}, "$.l[1]", "expected a number, got true"},
		{map[string]any{"l": values.Marker{Type: "a.B", Why: "no encoding"}}, "$.l", "a a.B couldn't travel"},
		{map[string]any{"m": map[string]any{"odd key": "x"}}, `$.m["odd key"]`, "expected an integer"},
		{[]any{1}, "$", "expected a map, got an array"},
	} {
		var out args
		var e *values.Error
		if err := values.Decode(encode(t, c.in), &out); !errors.As(err, &e) || e.Path != c.path || !strings.Contains(e.Message, c.text) {
			t.Errorf("%v: %v; want %s: …%s…", c.in, err, c.path, c.text)
		}
	}
}

func TestStrictDecodingRefusesUnknownAndMissingFields(t *testing.T) {
	type order struct {
		ID    int     `json:"id"`
		Note  *string `json:"note"`
		Extra string  `json:"extra,omitempty"`
		Items []struct {
			SKU string `json:"sku"`
		} `json:"items"`
	}
	for _, c := range []struct{ in, want string }{
		{`{"id": 1, "items": []}`, ""},
		{`{"id": 1, "items": [], "x": {"deep": [1]}}`, "$.x: there's no such field"},
		{`{"items": []}`, "$.id: it's missing"},
		{`{"id": 1, "items": [{"sku": "a"}, {"skew": "b"}]}`, "$.items[1].skew: there's no such field"},
		{`{"id": 1, "items": [{"sku": "a"}, {}]}`, "$.items[1].sku: it's missing"},
	} {
		data, err := values.FromJSON([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		var out order
		err = values.DecodeStrict(data, &out)
		if got := text(err); got != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
		if err := values.Decode(data, &out); err != nil {
			t.Errorf("%s: not strict: %v", c.in, err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWhatGoCannotSendIsAnErrorWithThePath(t *testing.T) {
	type loop struct{ Next any }
	circle := &loop{}
	circle.Next = circle
	var self any
	self = &self
	for want, v := range map[string]any{
		"$.f: func() can't be encoded":      map[string]any{"f": func() {}},
		"$[1]: chan int can't be encoded":   []any{1, make(chan int)},
		"nested deeper than 128":            circle,
		"deeper than 128, or in itself":     self,
		"$: year 10000 is outside":          time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		`"1.x" is no decimal`:               values.Decimal("1.x"),
		"don't have the shape [3]":          values.Array{DType: "|u1", Shape: []int{3}, Data: []byte("x")},
		`dtype "|O8" isn't allowed`:         values.Array{DType: "|O8", Shape: []int{1}, Data: make([]byte, 8)},
		"no scalar of dtype":                values.Scalar{DType: "<f8", Data: []byte("x")},
		`the key "\xff" isn't UTF-8`:        map[string]any{"\xff": 1},
		"unexpected end":                    jsonRaw(`{"a"`),
		"no number that a float64 holds":    jsonRaw(`1e999`),
		"Embedded.C: chan int can't be enc": struct{ Embedded struct{ C chan int } }{},
	} {
		_, err := values.Encode(v)
		var e *values.Error
		if !errors.As(err, &e) || (!strings.Contains(err.Error(), want) && want != "unexpected end") {
			t.Errorf("%v; want …%s…", err, want)
		}
	}
}

func TestDepthIsBoundedBothWays(t *testing.T) {
	var v any = 1
	for range values.MaxDepth {
		v = []any{v}
	}
	var out any
	if err := values.Decode(encode(t, v), &out); err != nil {
		t.Error(err)
	}
	if _, err := values.ToJSON(encode(t, v)); err != nil {
		t.Error(err)
	}
	for _, hostile := range []string{
		strings.Repeat("\x91", 129) + "\xc0", strings.Repeat("\x81\xa0", 129) + "\xc0", strings.Repeat("\x91", 1<<20),
	} {
		var typed struct{}
		for _, err := range []error{values.Decode([]byte(hostile), &out), second(values.ToJSON([]byte(hostile)))} {
			if err == nil || !strings.Contains(err.Error(), "deeper than 128") {
				t.Errorf("%v", err)
			}
		}
		if err := values.Decode([]byte("\x81\xa0"+hostile), &typed); err == nil {
			t.Error("skipping is not bounded")
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNestedExtensionsCountAsDepth(t *testing.T) {
	data := []byte{0xc0}
	for range 130 {
		inner := append([]byte{0x91}, data...)
		data = append([]byte{0xc8, byte(len(inner) >> 8), byte(len(inner)), 8}, inner...)
	}
	var out any
	if err := values.Decode(data, &out); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("%v", err)
	}
}

func TestDeclaredLengthsAllocateNothing(t *testing.T) {
	nested := strings.Repeat("ddffffff00", 100)
	for _, h := range []string{
		"ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff05", "dd7fffffffc0", nested,
		"c7110e93a37c753192ce7fffffff00c600000000", // an array of two billion empty rows
	} {
		data, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var out any
		var rows [][]byte
		if err := values.Decode(data, &rows); err == nil {
			t.Errorf("%s decodes", h)
		}
		_ = values.Decode(data, &out)
		_, _ = values.ToJSON(data)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%.20s…: %d bytes allocated", h, grown)
		}
	}
}

func TestMalformedDataIsAClearError(t *testing.T) {
	for h, want := range map[string]string{
		"":           "$: the data ends too soon",
		"c1":         "begins no value",
		"c0c0":       "1 bytes follow after the value",
		"92c0":       "$: the data ends too soon",
		"9202a2ff41": "$[1]: a string isn't UTF-8",
		"81a161c1":   "$.a: byte 3 is 0xc1",
		"d40102":     "malformed bigint",
		"d40241":     "malformed datetime",
		"d40341":     "malformed date",
		"d40441":     "malformed time",
		"d40500":     "malformed timedelta",
		"d40641":     "is no decimal",
		"d40700":     "malformed uuid",
		"d408c0":     "an extension holds no array",
		"d50890c0":   "1 bytes follow",
		"d40b00":     "malformed complex",
		"d40e90":     "malformed array",
		"d40f90":     "malformed scalar",
		"d41258":     "malformed arrow",
		"d41390":     "malformed marker",
		"d51491c0":   "expected a pair",
		"d4ff00":     "malformed timestamp",
	} {
		data, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		var out any
		if err := values.Decode(data, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", h, err, want)
		}
	}
}

func TestDecodeNeedsAPointer(t *testing.T) {
	for _, out := range []any{nil, 1, (*int)(nil)} {
		if err := values.Decode([]byte{1}, out); err == nil || !strings.Contains(err.Error(), "no pointer") {
			t.Errorf("%v", err)
		}
	}
}

func TestArrayGivesItsElementsExactly(t *testing.T) {
	a, err := values.ArrayOf([]float32{1, 2.5})
	if err != nil || a.DType != "<f4" {
		t.Fatal(a, err)
	}
	if got, err := values.Elements[float64](a); err != nil || !cmp.Equal(got, []float64{1, 2.5}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := values.Elements[int64](a); err == nil || !strings.Contains(err.Error(), "$[1]") {
		t.Errorf("%v", err)
	}
	swapped := values.Array{DType: ">f4", Shape: []int{1}, Data: []byte{0x3f, 0x80, 0, 0}}
	if got, err := values.Elements[float32](swapped); err != nil || got[0] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := values.ArrayOf([]int8{1, 2, 3}, 2, 2); err == nil {
		t.Error("three elements have the shape 2 by 2")
	}
}

func TestHalfFloatsAreReadExactly(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x0001: 1.0 / (1 << 24), 0x83ff: -1023.0 / (1 << 24), 0x7bff: 65504, 0x7c00: float32(math.Inf(1)),
	} {
		s := values.Scalar{DType: "<f2", Data: []byte{byte(bits), byte(bits >> 8)}}
		if got := s.Value(); got != want {
			t.Errorf("%#04x = %v, want %v", bits, got, want)
		}
	}
}

func TestPointersToOurTypesAreTheType(t *testing.T) {
	when := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	if got, want := hex.EncodeToString(encode(t, &when)), hex.EncodeToString(encode(t, when)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := encode(t, (*time.Time)(nil)); got[0] != 0xc0 {
		t.Errorf("%x", got)
	}
}
