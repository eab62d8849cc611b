package main

import (
	"errors"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// everyKind is a schema with a property for each kind of argument.
const everyKind = `{
  "type": "object",
  "properties": {
    "i": {"type": "integer"},
    "f": {"type": "number"},
    "b": {"type": "boolean"},
    "s": {"type": "string"},
    "y": {"type": "string", "contentEncoding": "base64"},
    "l": {"type": "array", "items": {"type": "number"}},
    "o": {"type": "object"},
    "any": {},
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null},
    "text": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "types": {"type": ["integer", "null"]},
    "colour": {"enum": ["red", "3", 3]},
    "point": {"$ref": "#/$defs/Point"},
    "loop": {"$ref": "#/$defs/Loop"},
    "nest": {"$ref": "#/$defs/Nest"}
  },
  "$defs": {
    "Point": {"type": "object", "properties": {"x": {"type": "number"}}},
    "Loop": {"$ref": "#/$defs/Loop"},
    "Nest": {"anyOf": [{"$ref": "#/$defs/Nest"}, {"type": "integer"}]}
  }
}`

func TestArgumentsAreReadAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, c := range []struct {
		word string
		want any
	}{
		{"i=3", int64(3)},
		{"i=-3", int64(-3)},
		{"i=18446744073709551615", uint64(math.MaxUint64)},
		{"i=123456789012345678901234567890", huge},
		{"i=3.5", "3.5"}, // the worker says what is wrong with it
		{"i=abc", "abc"},
		{"i=", ""},
		{"f=3", 3.0},
		{"f=3.5e2", 350.0},
		{"f=inf", math.Inf(1)},
		{"f=-Infinity", math.Inf(-1)},
		{"f=9007199254740993", int64(9007199254740993)}, // a float would lose the last digit
		{"b=true", true},
		{"b=false", false},
		{"b=1", "1"},
		{"b=True", "True"},
		{"s=3", "3"},
		{"s=true", "true"},
		{"s=null", "null"},
		{"s=[1]", "[1]"},
		{"s=a=b", "a=b"},
		{"s=", ""},
		{`s="quoted"`, `"quoted"`},
		{`s:="quoted"`, "quoted"},
		{"s:=3", int64(3)},
		{"y=hello", []byte("hello")},
		{"y=\xff\x00", []byte("\xff\x00")},
		{"l=[1, 2.5]", []any{int64(1), 2.5}},
		{"l={}", "{}"},
		{`o={"a": [null]}`, map[string]any{"a": []any{nil}}},
		{"any=3", int64(3)},
		{"any=3.0", 3.0},
		{"any=007", "007"},
		{"any=inf", "inf"},
		{"any=null", nil},
		{"any=words here", "words here"},
		{"maybe=3", int64(3)},
		{"maybe=null", nil},
		{"maybe=x", "x"},
		{"text=null", nil},
		{"text=3", "3"},
		{`text:="null"`, "null"},
		{"either=3", int64(3)},
		{"either=3a", "3a"},
		{"types=null", nil},
		{"types=7", int64(7)},
		{"colour=red", "red"},
		{"colour=3", "3"},
		{"colour=blue", "blue"},
		{`point={"x": 1}`, map[string]any{"x": int64(1)}},
		{"loop=1", int64(1)},
		{"nest=1", int64(1)},
		{"unknown=3", int64(3)},
	} {
		a, err := parseArgument(c.word)
		if err != nil {
			t.Errorf("%s: %v", c.word, err)
			continue
		}
		got, err := a.value(newSchema(everyKind).property(a.name), &inputs{stdin: strings.NewReader("")})
		if err != nil {
			t.Errorf("%s: %v", c.word, err)
		}
		equalInts := cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })
		if diff := cmp.Diff(c.want, got, equalInts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.word, diff)
		}
	}
}

func TestNaNIsAFloatWhereOnlyFloatsAreAllowed(t *testing.T) {
	t.Parallel()
	if f, ok := interpret("NaN", kindNumber, nil).(float64); !ok || !math.IsNaN(f) {
		t.Errorf("got %v, want NaN", f)
	}
}

func TestNumbersOfAnEnumAreFound(t *testing.T) {
	t.Parallel()
	s := newSchema(`{"type": "object", "properties": {"n": {"enum": [1, 2.5, true, null]}}}`)
	for word, want := range map[string]any{"n=1": int64(1), "n=2.5": 2.5, "n=true": true, "n=null": nil, "n=3": "3"} {
		a, err := parseArgument(word)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.value(s.property("n"), &inputs{})
		if err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: got %#v, %v; want %#v", word, got, err, want)
		}
	}
}

func TestFilesBecomeArguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list, binary := write("list.json", " [1, 2]\n"), write("binary", "\xff\x00")
	for _, c := range []struct {
		word string
		want any
	}{
		{"l=@" + list, []any{int64(1), int64(2)}},
		{"l:=@" + list, []any{int64(1), int64(2)}},
		{"s=@" + list, " [1, 2]\n"},
		{"y=@" + binary, []byte("\xff\x00")},
		{"y=@" + list, []byte(" [1, 2]\n")},
		{"s=@-", "from stdin"},
	} {
		a, err := parseArgument(c.word)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.value(newSchema(everyKind).property(a.name), &inputs{stdin: strings.NewReader("from stdin")})
		if err != nil || !cmp.Equal(c.want, got) {
			t.Errorf("%s: got %#v, %v; want %#v", c.word, got, err, c.want)
		}
	}
}

func TestWrongArgumentsAreUsageErrors(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, []byte("\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, json string
		words      []string
		want       string
	}{
		{"no name=value", "", []string{"abc"}, `argument "abc" isn't name=value`},
		{"no name", "", []string{"=3"}, "has no name"},
		{"no name before JSON", "", []string{":=3"}, "has no name"},
		{"twice", "", []string{"a=1", "a:=2"}, `"a" is given twice`},
		{"no file named", "", []string{"a=@"}, "names no file"},
		{"no such file", "", []string{"a=@/does/not/exist"}, "/does/not/exist"},
		{"a folder", "", []string{"a=@/"}, "is a directory"},
		{"bytes for text", "", []string{"s=@" + binary}, "isn't UTF-8"},
		{"bytes on the command line", "", []string{"s=\xff"}, "isn't UTF-8"},
		{"a name that isn't text", "", []string{"\xff=1"}, "isn't UTF-8"},
		{"bad JSON", "", []string{"a:={"}, "argument a: "},
		{"two JSON values", "", []string{"a:=1 2"}, "argument a: "},
		{"empty JSON", "", []string{"a:="}, "argument a: "},
		{"stdin twice", "-", []string{"a=@-"}, "stdin is named twice"},
		{"--json of a list", "[1]", nil, "not a list"},
		{"--json of nothing", "@/dev/null", nil, "--json: "},
		{"a float too large", `{"a": 1e999}`, nil, "1e999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := buildFrom(c.json, c.words)
			var usage *usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a usage error with %q", err, c.want)
			}
			if err != nil && utf8.RuneCountInString(err.Error()) > 300 {
				t.Errorf("the message is %d characters long", len(err.Error()))
			}
		})
	}
}

func buildFrom(jsonText string, words []string) error {
	args, err := parseArguments(words)
	if err != nil {
		return err
	}
	_, err = buildArguments(jsonText, args, newSchema(everyKind), &inputs{stdin: strings.NewReader("{}")})
	return err
}

func TestWordsAddToTheJSONObject(t *testing.T) {
	t.Parallel()
	words, err := parseArguments([]string{"i=2", "s=3"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := buildArguments(`{"i": 1, "big": 9007199254740993}`, words, newSchema(everyKind), &inputs{})
	want := map[string]any{"i": int64(2), "s": "3", "big": int64(9007199254740993)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func FuzzArgumentsNeverPanicAndKeepText(f *testing.F) {
	for _, word := range []string{"i=3", "s=3", "y=x", "l=[1]", "a:=1", "=", "maybe=null", "colour=red", "f=nan", "o={\"a\":{}}"} {
		f.Add(word, everyKind)
	}
	f.Add("n=1", `{"properties": {"n": {"anyOf": [{"$ref": "#/$defs/A"}]}}, "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}}}`)
	f.Fuzz(func(t *testing.T, word, schemaText string) {
		a, err := parseArgument(word)
		if err != nil || a.file {
			return
		}
		s := newSchema(schemaText)
		_, _ = s.describe(newWalk()), fields(s)
		v, err := a.value(s.property(a.name), &inputs{stdin: strings.NewReader("")})
		if text, ok := v.(string); ok && err == nil && !a.json && text != a.text {
			t.Errorf("%q became %q", a.text, text)
		}
	})
}
