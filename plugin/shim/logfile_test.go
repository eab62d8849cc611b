package shim_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

func size(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func TestALogIsBoundedAndKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	for _, piece := range []int{1, 7, 99, 100, 101, 1000} {
		path := filepath.Join(t.TempDir(), "log")
		l := &shim.LogFile{Path: path, Max: 100}
		var all bytes.Buffer
		for i := range 50 {
			p := bytes.Repeat([]byte{byte('a' + i%26)}, piece)
			all.Write(p)
			if err := l.Write(p); err != nil {
				t.Fatal(err)
			}
			if n := size(t, path); n > 100 {
				t.Fatalf("in pieces of %d: the file has %d bytes", piece, n)
			}
			if i%10 == 9 {
				l.Close() // it goes on where it was
			}
		}
		l.Close()
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path + ".1")
		if err != nil && all.Len() > 100 {
			t.Fatal(err)
		}
		if kept := string(before) + string(now); !strings.HasSuffix(all.String(), kept) || len(kept) < min(50, all.Len()) {
			t.Errorf("in pieces of %d: %q is kept", piece, kept)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) > 2 {
			t.Errorf("%v, %v: two files are the most", entries, err)
		}
	}
}

func TestALogThatCannotBeWrittenSaysSoOnce(t *testing.T) {
	t.Parallel()
	l := &shim.LogFile{Path: filepath.Join(t.TempDir(), "nowhere", "log")}
	if err := l.Write([]byte("x")); !os.IsNotExist(err) {
		t.Errorf("Write = %v, want that there is no such folder", err)
	}
	if err := l.Write([]byte("x")); err != nil {
		t.Errorf("the second Write = %v", err)
	}
	if err := (&shim.LogFile{}).Write([]byte("x")); err != nil {
		t.Errorf("Write to no file = %v", err)
	}
}
