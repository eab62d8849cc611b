package plugin

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLongLinesAreCutAndTheNextOnesAreWhole(t *testing.T) {
	t.Parallel()
	type line struct {
		Text string
		Cut  bool
	}
	long := strings.Repeat("x", 100<<10)
	var got []line
	eachLine(strings.NewReader("first\n"+long+"\nlast\r\nno end"), func(l []byte, cut bool) {
		got = append(got, line{string(l), cut})
	})
	want := []line{{"first", false}, {long[:maxLine], true}, {"last", false}, {"no end", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAWriterOfEndlessLinesNeverBlocks(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(make([]byte, 8<<20)) // one line without an end
		written <- errors.Join(err, w.Close())
	}()
	lines := 0
	eachLine(r, func([]byte, bool) { lines++ })
	if err := <-written; err != nil || lines != 1 {
		t.Errorf("the write ended with %v, and %d lines came; want nil and 1", err, lines)
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, _ int) {
		eachLine(strings.NewReader(string(data)), func(l []byte, _ bool) {
			if len(l) > maxLine {
				t.Fatalf("a line of %d bytes", len(l))
			}
		})
	})
}
