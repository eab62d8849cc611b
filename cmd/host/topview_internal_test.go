package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// twoSamples are a second apart, with 20 calls answered between them, 5 of them in vain.
func twoSamples() (before, now sample) {
	at := time.Date(2026, 1, 2, 5, 4, 5, 0, time.UTC)
	before = sample{at: at, status: fixedStatus(), workers: fixedWorkers()}
	now = sample{at: at.Add(2 * time.Second), status: fixedStatus(), workers: fixedWorkers()}
	p := &now.status.Pools[0]
	p.OK += 15
	p.Errors = map[string]uint64{"deadline": 6, "python_exception": 3, "queue_full": 1}
	p.QueueTime, p.RunTime = timesOf(fixedTimes(10)), timesOf(merge(fixedTimes(11), host.Histogram{
		Buckets: []host.Bucket{{From: 10 * time.Millisecond, Below: 11 * time.Millisecond, Count: 20}}, Sum: 200 * time.Millisecond,
	}))
	now.workers[0].Calls += 30
	return before, now
}

func TestRatesAreOfTheLastInterval(t *testing.T) {
	t.Parallel()
	before, now := twoSamples()
	v := newTopView(topOptions{}, true)
	v.add(before)
	v.add(now)
	r := v.rates(now.status.Pools[0])
	if r.calls != 10 || r.errors != 2.5 || r.run.Count() != 20 || r.queue.Count() != 1 {
		t.Errorf("%+v", r)
	}
	if q := r.run.Quantile(0.99); q < 10*time.Millisecond || q > 11*time.Millisecond {
		t.Errorf("p99 of the interval is %s", q)
	}
	if w := v.workerRate(now.workers[0]); w != 15 {
		t.Errorf("the worker's rate is %g", w)
	}
}

func TestHostThatBeganAnewHasNoRatesYet(t *testing.T) {
	t.Parallel()
	before, now := twoSamples()
	now.status.StartedAt = now.status.StartedAt.Add(time.Hour)
	v := newTopView(topOptions{}, true)
	v.add(before)
	v.add(now)
	if r := v.rates(now.status.Pools[0]); r.calls != 0 || len(v.rate) != 0 {
		t.Errorf("%+v, %v", r, v.rate)
	}
}

func TestTopIsAsRecorded(t *testing.T) {
	t.Parallel()
	before, now := twoSamples()
	v := newTopView(topOptions{}, false)
	var b strings.Builder
	show := func() {
		lines := v.screen(120, 12)
		if lines[0] != "" && v.silent == nil {
			lines[0] = "TIME" + lines[0][len("00:00:00"):] // depends on the machine's zone
		} else if v.silent != nil {
			lines = append(lines[:1], lines[2:]...)
		}
		b.WriteString(strings.Join(lines, "\n") + "\n---\n")
	}
	v.add(before)
	show()
	v.add(now)
	show()
	v.press('w')
	show()
	v.press('p')
	v.add(sample{err: errdefs.New(errdefs.HostUnreachable, "no host answers")})
	show()
	golden(t, filepath.Join("testdata", "top.txt"), b.String())
}

func TestScreenFitsTheTerminal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, now := twoSamples()
		for range rapid.IntRange(0, 40).Draw(t, "workers") {
			now.workers = append(now.workers, fixedWorkers()...)
		}
		v := newTopView(topOptions{workers: true}, rapid.Bool().Draw(t, "ascii"))
		for range rapid.IntRange(0, 100).Draw(t, "samples") {
			v.add(before)
			v.add(now)
		}
		width, height := rapid.IntRange(1, 300).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")
		lines := v.screen(width, height)
		if len(lines) > height {
			t.Fatalf("%d lines on a screen of %d", len(lines), height)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width || strings.ContainsAny(line, "\x1b\n\r\t") {
				t.Fatalf("%q doesn't fit %d cells", line, width)
			}
		}
	})
}

func TestCurveGoesFromZeroToTheHighest(t *testing.T) {
	t.Parallel()
	if got := curve([]float64{0, 1, 2, 4, 8}, false); got != "▁▂▃▅█" {
		t.Errorf("got %q", got)
	}
	if got := curve([]float64{0, 0}, true); got != "__" {
		t.Errorf("got %q", got)
	}
}

func TestLocaleDecidesOnTheCurvesLetters(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]bool{"": true, "LANG=C": true, "LANG=en_US.UTF-8": false, "LC_ALL=C.utf8": false} {
		name, value, _ := strings.Cut(env, "=")
		getenv := func(n string) string { return map[string]string{name: value}[n] }
		if got := asciiOnly(getenv); got != want {
			t.Errorf("%s: %t", env, got)
		}
	}
}

func TestSpansHaveAUnit(t *testing.T) {
	t.Parallel()
	for s, want := range map[float64]string{
		0: "0s", 12e-6: "12µs", 1.25e-3: "1.2ms", 0.0423: "42ms", 1.26: "1.3s", 61: "61s", 600: "10m", 3 * 3600: "3h", 72 * 3600: "3d",
	} {
		if got := spanText(s); got != want {
			t.Errorf("%g: %s, want %s", s, got, want)
		}
	}
}
