package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

// These lines made go-plugin's own parser panic, or were lost on it.
func TestOddLinesOnStderrBecomePlainEntries(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`{"@message":123}`, `{"@level":null}`, `{"@message":null,"@level":5}`, `{`, `{"@message":"x"`, `[]`, `{}`, "", "\x00\xff\x1b[2J",
		`{"@message":{"nested":true}}`, "Traceback (most recent call last):",
	} {
		e := parseEntry([]byte(line))
		if e.level != hclog.Debug {
			t.Errorf("%q has level %s, want debug", line, e.level)
		}
		if strings.ContainsAny(e.message, "\x00\x1b") {
			t.Errorf("%q keeps control characters: %q", line, e.message)
		}
	}
}

func TestHclogLinesKeepLevelAndFields(t *testing.T) {
	t.Parallel()
	e := parseEntry([]byte(`{"@message":"loaded","@level":"WARN","@timestamp":"whenever","model":"a\nb","n":12345678901234567890}`))
	want := logEntry{level: hclog.Warn, message: "loaded", fields: []any{"model", "a b", "n", "12345678901234567890"}}
	if diff := cmp.Diff(want, e, cmp.AllowUnexported(logEntry{})); diff != "" {
		t.Error(diff)
	}
}

func TestFieldsOfALineAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"@message":"x"`)
	for i := range 1000 {
		b.WriteString(`,"` + strings.Repeat("k", 100) + string(rune('a'+i%26)) + strings.Repeat("z", i) + `":"` + strings.Repeat("v", 5000) + `"`)
	}
	b.WriteString("}")
	e := parseEntry([]byte(b.String()))
	if len(e.fields) != 2*maxFields {
		t.Errorf("%d fields and values, want %d", len(e.fields), 2*maxFields)
	}
	for _, f := range e.fields {
		if s, _ := f.(string); len(s) > maxValue+len("…") {
			t.Errorf("a value of %d bytes", len(s))
		}
	}
}

func TestOnlyTheLastLinesAreRemembered(t *testing.T) {
	t.Parallel()
	l := &workerLog{logger: hclog.NewNullLogger()}
	for i := range 100_000 {
		l.line([]byte(strings.Repeat("x", i%5000)), false)
	}
	if got := l.last(); len(got) != tailLines {
		t.Errorf("%d lines are remembered, want %d", len(got), tailLines)
	}
	if len(l.tail) > 2*tailLines {
		t.Errorf("%d lines are held", len(l.tail))
	}
}

func TestTheLogFileIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.log")
	const logFileBytes = 1 << 20
	l := &workerLog{logger: hclog.NewNullLogger(), path: path, file: &shim.LogFile{Path: path, Max: logFileBytes}}
	line := []byte(strings.Repeat("x", 1000))
	for range 4 * logFileBytes / 1000 {
		l.write(line)
	}
	l.close()
	for _, p := range []string{path, path + ".1"} {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > logFileBytes+2000 || st.Size() == 0 {
			t.Errorf("%s has %d bytes, want 1 to %d", filepath.Base(p), st.Size(), logFileBytes)
		}
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 2 {
		t.Errorf("files: %v, want two", files)
	}
}

func FuzzStderrLine(f *testing.F) {
	f.Add([]byte(`{"@message":"m","@level":"info","k":1}`))
	f.Add([]byte(`{"@message":123}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e := parseEntry(line)
		if len(e.fields) > 2*maxFields || len(e.fields)%2 != 0 {
			t.Fatalf("%d fields", len(e.fields))
		}
	})
}
