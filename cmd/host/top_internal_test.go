package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestTopWithoutATerminalPrintsOnceAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{status: fixedStatus(), workers: fixedWorkers()}
		began := time.Now()
		o := runOn(t, h, "top", "--count", "3", "--interval", "2s")
		if o.code != 0 || o.stderr != "" || time.Since(began) != 6*time.Second {
			t.Errorf("exit %d after %s, %s", o.code, time.Since(began), o.stderr)
		}
		if n := strings.Count(o.stdout, "POOL "); n != 3 || strings.Contains(o.stdout, "\x1b") {
			t.Errorf("%d tables in\n%s", n, o.stdout)
		}
	})
}

func TestTopInJSONHasAnObjectALine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{status: fixedStatus(), workers: fixedWorkers()}
		o := runOn(t, h, "top", "--count", "2", "--pool", "ml", "-o", "json")
		lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
		if o.code != 0 || len(lines) != 2 {
			t.Fatalf("exit %d, %s%s", o.code, o.stdout, o.stderr)
		}
		var got topReport
		if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
			t.Fatal(err)
		}
		if got.Interval != 1 || len(got.Pools) != 1 || got.Pools[0].Name != "ml" || len(got.Workers) != 1 || got.Workers[0].ID != "ml-1" {
			t.Errorf("%+v", got)
		}
	})
}

func TestTopEndsWithItsSignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		o := runWith(ctx, t, &fakeHost{status: fixedStatus()}, nil, "top", "--host", "/fake.sock")
		if o.code != 0 || strings.Count(o.stdout, "POOL ") != 10 {
			t.Errorf("exit %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	})
}

func TestTopSaysWhichPoolIsnt(t *testing.T) {
	t.Parallel()
	o := runOn(t, &fakeHost{status: fixedStatus()}, "top", "--pool", "mll")
	if o.code != 1 || !strings.Contains(o.stderr, "ml") {
		t.Errorf("exit %d, %s", o.code, o.stderr)
	}
}

func TestEventsAreListedByTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	list := []poolStatus{
		{Name: "a", Events: []poolEvent{{At: at, Kind: "one"}, {At: at.Add(2 * time.Second), Kind: "three", Reason: string(errdefs.WorkerCrashed)}}},
		{Name: "b", Events: []poolEvent{{At: at.Add(time.Second), Kind: "two", Worker: "b-1", Detail: "why"}}},
	}
	var b bytes.Buffer
	if err := printEvents(&b, list); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if one, two, three := strings.Index(text, "one"), strings.Index(text, "two"), strings.Index(text, "three"); one < 0 || two < one || three < two {
		t.Errorf("out of order:\n%s", text)
	}
	o := runOn(t, &fakeHost{status: fixedStatus()}, "pools", "--events")
	if o.code != 0 || !strings.Contains(o.stdout, "worker_died") || !strings.Contains(o.stdout, "signal SIGSEGV") {
		t.Errorf("exit %d\n%s", o.code, o.stdout)
	}
}
