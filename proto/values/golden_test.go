package values_test

import (
	"encoding/hex"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/proto/values"
)

type goldenLine struct {
	name string
	data []byte
}

func golden(tb testing.TB) []goldenLine {
	tb.Helper()
	text, err := os.ReadFile("testdata/values.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var lines []goldenLine
	for line := range strings.Lines(string(text)) {
		parts := strings.Fields(line)
		if parts[0] == "#" {
			continue
		}
		data, err := hex.DecodeString(parts[1])
		if err != nil {
			tb.Fatal(err)
		}
		lines = append(lines, goldenLine{parts[0], data})
	}
	return lines
}

func array(kind values.ArrayKind, dtype string, data string, shape ...int) values.Array {
	return values.Array{Kind: kind, DType: dtype, Shape: append([]int{}, shape...), Data: []byte(data)}
}

// cases are what the golden file's lines stand for; the Python test has the same table.
func cases(tb testing.TB) map[string]any {
	tb.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		tb.Skip("this machine has no time zones")
	}
	big70 := new(big.Int).Lsh(big.NewInt(1), 70)
	return map[string]any{
		"nil":                nil,
		"true":               true,
		"int":                int64(3),
		"int_min":            int64(math.MinInt64),
		"int_max":            uint64(math.MaxUint64),
		"bigint":             big70,
		"bigint_negative":    new(big.Int).Neg(big70),
		"float":              1.5,
		"nan":                math.Float64frombits(0x7ff8 << 48), // Python's
		"infinity":           math.Inf(1),
		"str":                "Grüße",
		"bin":                []byte{0, 0xff},
		"array":              []any{int64(1), []any{2.5, nil}},
		"map":                map[string]any{"a": int64(1), "b": []any{true}},
		"map_int_keys":       values.Map{{Key: int64(1), Value: "x"}, {Key: int64(-2), Value: "y"}},
		"map_tuple_keys":     values.Map{{Key: values.Tuple{int64(1), int64(2)}, Value: "x"}},
		"datetime":           time.Date(2024, 2, 29, 12, 30, 0, 1000, time.FixedZone("", 3600)),
		"datetime_utc":       time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC),
		"datetime_zone":      time.Date(2024, 10, 27, 1, 30, 0, 0, time.UTC).In(berlin),
		"datetime_naive":     values.NaiveTime{Time: time.Date(2024, 2, 29, 12, 30, 0, 5e8, time.UTC)},
		"date":               values.Date{Year: 2024, Month: 2, Day: 29},
		"time":               values.Clock{Hour: 12, Minute: 30, Nanosecond: 5e8},
		"time_offset":        values.Clock{Hour: 12, Minute: 30, Zone: "-03:30"},
		"timedelta":          24*time.Hour + 2*time.Second + 3*time.Microsecond,
		"timedelta_negative": -time.Microsecond,
		"timedelta_max":      values.Ext{Code: 5, Data: []byte("\x3b\x9a\xc9\xff\x00\x01\x51\x7f\x3b\x9a\xc6\x18")},
		"decimal":            values.Decimal("-1.50"),
		"decimal_nan":        values.Decimal("NaN"),
		"uuid":               values.UUID([]byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff")),
		"tuple":              values.Tuple{int64(1), values.Tuple{int64(2), "x"}, []any{}},
		"set":                values.Set{int64(7)},
		"frozenset":          values.FrozenSet{"x"},
		"complex":            1.5 - 2i,
		"surrogate":          "a\xed\xa0\x80b",
		"bytearray":          values.ByteArray("ab"),
		"ndarray": array(values.NDArray, "<f8",
			"\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x08\x40"+
				"\x00\x00\x00\x00\x00\x00\x10\x40\x00\x00\x00\x00\x00\x00\x14\x40\x00\x00\x00\x00\x00\x00\x18\x40", 2, 3),
		"ndarray_bool":       array(values.NDArray, "|b1", "\x01\x00", 2),
		"ndarray_text":       array(values.NDArray, "<U2", "a\x00\x00\x00b\x00\x00\x00c\x00\x00\x00\x00\x00\x00\x00", 2),
		"ndarray_big_endian": array(values.NDArray, ">i2", "\x00\x01\xff\xfe", 2),
		"ndarray_empty":      array(values.NDArray, "|u1", "", 0, 3),
		"ndarray_zero_d":     array(values.NDArray, "<i8", "\x07\x00\x00\x00\x00\x00\x00\x00"),
		"ndarray_dates":      array(values.NDArray, "<M8[D]", "FM\x00\x00\x00\x00\x00\x00", 1),
		"scalar_float32":     values.Scalar{DType: "<f4", Data: []byte("\x00\x00\x00\x3f")},
		"scalar_int64":       values.Scalar{DType: "<i8", Data: []byte("\xfd\xff\xff\xff\xff\xff\xff\xff")},
		"scalar_bool":        values.Scalar{DType: "|b1", Data: []byte("\x01")},
		"scalar_str":         values.Scalar{DType: "<U1", Data: []byte("\xe9\x00\x00\x00")},
		"memoryview":         array(values.MemoryView, "<u2", "\x01\x02\x03\x04", 2),
		"pyarray":            array(values.PyArray, "<f8", "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40", 2),
		"marker":             values.Marker{Type: "mod.Class", Why: "no encoding"},
		"unknown_ext":        values.Ext{Code: 100, Data: []byte{1, 2}},
	}
}

// same compares by type and content; times by instant and zone.
func same() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano) }),
		cmp.Comparer(func(a, b float64) bool { return a == b || (math.IsNaN(a) && math.IsNaN(b)) }),
	}
}

func TestValueIsWrittenAsTheGoldenFileSays(t *testing.T) {
	table := cases(t)
	for _, line := range golden(t) {
		v, ok := table[line.name]
		if !ok {
			t.Errorf("%s has no case", line.name)
			continue
		}
		got, err := values.Encode(v)
		if err != nil || hex.EncodeToString(got) != hex.EncodeToString(line.data) {
			t.Errorf("%s = %x, %v; want %x", line.name, got, err, line.data)
		}
	}
}

func TestValueOfTheGoldenFileKeepsItsType(t *testing.T) {
	table := cases(t)
	for _, line := range golden(t) {
		var got any
		if err := values.Decode(line.data, &got); err != nil {
			t.Errorf("%s: %v", line.name, err)
		}
		if diff := cmp.Diff(table[line.name], got, same()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line.name, diff)
		}
	}
}

func TestEveryGoldenValueSurvivesDecodingAndEncoding(t *testing.T) {
	for _, line := range golden(t) {
		var v any
		if err := values.Decode(line.data, &v); err != nil {
			t.Fatal(err)
		}
		got, err := values.Encode([]any{v})
		if err != nil || hex.EncodeToString(got) != "91"+hex.EncodeToString(line.data) {
			t.Errorf("%s = %x, %v; want 91%x", line.name, got, err, line.data)
		}
	}
}
