package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit"
)

func TestProgressInAPipeIsALineEachSecondAndTheLast(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	v := newProgressView(&b)
	v.now = func() time.Time { return now }
	for i := range 25 {
		v.show(snakepit.Progress{Done: float64(i + 1), Total: 25, Message: "epoch\n"})
		now = now.Add(100 * time.Millisecond)
	}
	v.end()
	want := "  4% 1/25 epoch \n 44% 11/25 epoch \n 84% 21/25 epoch \n100% 25/25 epoch \n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgressInATerminalIsABarThatGoesAway(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := &progressView{w: &b, live: true, width: func() int { return 40 }, now: time.Now}
	v.show(snakepit.Progress{Done: 12, Total: 24, Message: "\x1b[31mred" + strings.Repeat("x", 100)})
	first := b.String()
	v.end()
	v.end()
	if !strings.HasPrefix(first, "\r\x1b[K████████████░░░░░░░░░░░░  50% 12/24") {
		t.Errorf("drawn: %q", first)
	}
	if n := len([]rune(strings.TrimPrefix(first, "\r\x1b[K"))); n != 39 {
		t.Errorf("%d cells wide", n)
	}
	if rest := strings.TrimPrefix(b.String(), first); rest != "\r\x1b[K" {
		t.Errorf("afterwards %q", rest)
	}
}

func TestProgressBearsAnyNumbers(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
		for _, y := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e-300} {
			p := snakepit.Progress{Done: x, Total: y}
			if f := fraction(p); !(f >= 0 && f <= 1) {
				t.Errorf("%v of %v is %v", x, y, f)
			}
			v := &progressView{w: new(bytes.Buffer), live: true, width: func() int { return 80 }}
			v.show(p)
		}
	}
}

func TestUnknownTotalShowsWhatIsDone(t *testing.T) {
	t.Parallel()
	if got := progressLine(snakepit.Progress{Done: 2.5, Message: "files"}); got != "2.5 files" {
		t.Errorf("got %q", got)
	}
}
