package plugin_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// ticking writes the time to a file each millisecond, until it's cancelled.
const ticking = `
import threading
import time
from snakepit import tool

@tool
def tick(path: str) -> int:
    with open(path, "a") as f:
        while True:
            f.write(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n")
            f.flush()
            time.sleep(0.001)

@tool
def echo(value):
    return value

@tool
def start(path: str) -> None:
    threading.Thread(target=tick, args=(path,), daemon=True).start()
`

func arguments(t *testing.T, args map[string]any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lastTick is the newest line of a file of ticks; zero: none yet.
func lastTick(t *testing.T, path string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	at, err := time.ParseDuration(lines[len(lines)-1] + "ns")
	if err != nil {
		return 0
	}
	return int64(at)
}

func awaitTick(t *testing.T, path string, after int64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for lastTick(t, path) <= after {
		if time.Now().After(deadline) {
			t.Fatal("no further tick")
		}
	}
}

func TestASessionsCallStopsWithTheLeaseAndGoesOnWithTheNext(t *testing.T) {
	t.Parallel()
	l := launcher(t)
	w, err := l.Launch(t.Context(), spec(t, ticking), noTools{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ticks")
	run, err := w.Start(t.Context(), host.Invocation{Tool: "tick", Session: "s", Payload: arguments(t, map[string]any{"path": path})})
	if err != nil {
		t.Fatal(err)
	}
	awaitTick(t, path, 0)

	deadline := shim.Boottime() + int64(200*time.Millisecond)
	if err := l.SetLease(deadline); err != nil {
		t.Fatal(err)
	}
	awaitRefusal(t, w, deadline)
	const bound = 10 * 50 * time.Millisecond
	for shim.Boottime() < deadline+int64(2*bound) { // time enough to tick on, for one that isn't frozen
		runtime.Gosched()
	}
	frozen := lastTick(t, path)
	over := time.Duration(frozen - deadline)
	t.Logf("the last tick came %s after the deadline", over)
	if over > bound {
		t.Errorf("it ticked for %s after the deadline, want at most %s", over, bound)
	}

	if err := l.SetLease(0); err != nil {
		t.Fatal(err)
	}
	awaitTick(t, path, frozen)
	run.Cancel(errdefs.New(errdefs.Cancelled, "enough"))
	<-run.Done()
}

func tickingSpec(t *testing.T, worker host.WorkerID) host.Spec {
	t.Helper()
	s := spec(t, ticking)
	s.Worker = worker
	return s
}

// A strict session pins its home: what its tools have left running there stops with
// the lease, though none of them runs.
func TestAPinnedWorkerIsFrozenWithTheLeaseAndAFreeOneIsNot(t *testing.T) {
	t.Parallel()
	l := launcher(t)
	dir := t.TempDir()
	begin := func(name string) (host.Pinner, string) {
		w, err := l.Launch(t.Context(), tickingSpec(t, host.WorkerID(name)), noTools{})
		if err != nil {
			t.Fatal(err)
		}
		p, ok := w.(host.Pinner)
		if !ok {
			t.Fatalf("%T can't be pinned", w)
		}
		path := filepath.Join(dir, name)
		if _, err := answer(t, w, host.Invocation{Tool: "start", Payload: arguments(t, map[string]any{"path": path})}); err != nil {
			t.Fatal(err)
		}
		awaitTick(t, path, 0)
		return p, path
	}
	pinned, stops := begin("pinned")
	free, goesOn := begin("free")
	for _, p := range []host.Pinner{pinned, pinned, free} {
		if !p.Pin() {
			t.Fatal("a worker can't be pinned under the lease")
		}
	}
	pinned.Unpin() // once of twice
	free.Unpin()

	deadline := shim.Boottime() + int64(200*time.Millisecond)
	if err := l.SetLease(deadline); err != nil {
		t.Fatal(err)
	}
	const bound = 10 * 50 * time.Millisecond
	awaitTick(t, goesOn, deadline+int64(2*bound))
	frozen := lastTick(t, stops)
	if over := time.Duration(frozen - deadline); over > bound {
		t.Errorf("the pinned worker ticked for %s after the deadline, want at most %s", over, bound)
	}
	if pinned.Pin() || free.Pin() {
		t.Error("a worker can be pinned without a lease")
	}
	if err := l.SetLease(0); err != nil {
		t.Fatal(err)
	}
	awaitTick(t, stops, frozen)
	pinned.Unpin()
}

// awaitRefusal waits until the worker takes no session's call any more, which is
// when the shim has seen the deadline pass.
func awaitRefusal(t *testing.T, w host.Worker, deadline int64) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if shim.Boottime() < deadline {
			continue
		}
		run, err := w.Start(t.Context(), host.Invocation{Tool: "echo", Session: "s", Payload: arguments(t, map[string]any{"value": 1})})
		switch {
		case err == nil:
			run.Cancel(errdefs.New(errdefs.Cancelled, "too early"))
		case errdefs.ReasonOf(err) == errdefs.Fenced && !errdefs.MayHaveRun(err):
			return
		default:
			t.Fatalf("a session's call without a lease: %v, want fenced, and that it didn't run", err)
		}
	}
	t.Fatal("calls are taken for ever after the deadline")
}
