package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// engine is a host with one pool of real workers that offer dangerous tools.
type engine struct {
	*testing.T

	*host.Host

	mu     sync.Mutex
	events []host.Event
	news   chan struct{} // closed and renewed with each event
}

func newEngine(t *testing.T, change func(*host.PoolConfig)) *engine {
	t.Helper()
	e := &engine{T: t, news: make(chan struct{})}
	pool := host.PoolConfig{Name: "ml", Command: spec(t, dangerous).Command, Size: 1, QueueTimeout: patience, StartTimeout: patience}
	change(&pool)
	h, err := host.New(host.Config{Launcher: launcher(t), Pools: []host.PoolConfig{pool}, Events: e.note, CallTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	e.Host = h
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := h.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *engine) note(ev host.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, ev)
	close(e.news)
	e.news = make(chan struct{})
}

// await waits for the n-th event of a kind.
func (e *engine) await(kind host.EventKind, n int) host.Event {
	e.Helper()
	late := time.After(patience)
	for {
		got, news := e.told(kind)
		if len(got) >= n {
			return got[n-1]
		}
		select {
		case <-news:
		case <-late:
			e.Fatalf("%d events %s after %s, want %d: %+v", len(got), kind, patience, n, e.events)
		}
	}
}

func (e *engine) told(kind host.EventKind) ([]host.Event, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.events), func(ev host.Event) bool { return ev.Kind != kind }), e.news
}

func (e *engine) wantNone(kind host.EventKind) {
	e.Helper()
	if got, _ := e.told(kind); len(got) > 0 {
		e.Errorf("events %s: %+v", kind, got)
	}
}

// call runs a tool to its end, and gives the worker too.
func (e *engine) call(ctx context.Context, req host.Request, args map[string]any) (host.WorkerID, error) {
	e.Helper()
	if req.Payload = []byte(emptyMap); args != nil {
		req.Payload = arguments(e.T, args)
	}
	c, err := e.Open(ctx, req)
	if err != nil {
		return "", err
	}
	defer c.Close()
	for {
		if m, err := c.Recv(ctx); err != nil || m.Last {
			return c.Worker(), err
		}
	}
}

func (e *engine) must(tool string, args map[string]any) host.WorkerID {
	e.Helper()
	w, err := e.call(e.Context(), host.Request{Tool: tool}, args)
	if err != nil {
		e.Fatalf("%s: %v", tool, err)
	}
	return w
}

// dangerous are tools that break their worker, or hold it up.
const dangerous = `
import ctypes, os, threading, time
from snakepit import tool

libc = ctypes.PyDLL(None)  # its calls keep the interpreter's lock

@tool
def echo(value=None):
    return value

@tool
def segfault():
    ctypes.string_at(0)

@tool
def segfault_once(path: str):
    if not os.path.exists(path):
        open(path, "w").close()
        ctypes.string_at(0)

@tool
def hold(seconds: int):
    libc.sleep(seconds)

@tool
def leave_a_thread_that_holds(seconds: int):
    threading.Timer(0.05, libc.sleep, (seconds,)).start()

@tool
def spin(seconds: float):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass

class Broken(RuntimeError):
    pass

@tool
def break_device():
    raise Broken("CUDA error: an illegal memory access was encountered")
`

// nimble finds hung workers quickly.
func nimble(p *host.PoolConfig) {
	p.Heartbeat = host.Heartbeat{Interval: 200 * time.Millisecond, Timeout: 500 * time.Millisecond}
}

func TestSegfaultTaintsItsSeat(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(p *host.PoolConfig) { p.Barrier.Taint = 2 * time.Second })
	_, err := e.call(t.Context(), host.Request{Tool: "segfault"}, nil)
	if errdefs.ReasonOf(err) != errdefs.WorkerCrashed || !errdefs.MayHaveRun(err) {
		t.Fatalf("a segfault gave %v", err)
	}
	tainted, ready := e.await(host.EventWorkerTainted, 1), e.await(host.EventWorkerReady, 2)
	if empty := ready.At.Sub(tainted.At); empty < 2*time.Second {
		t.Errorf("the seat was empty for %s, want 2 s", empty)
	}
}

func TestIdempotentCallSurvivesTheSegfaultOfItsWorker(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(p *host.PoolConfig) { p.Size = 2 })
	mark := filepath.Join(t.TempDir(), "mark")
	if _, err := e.call(t.Context(), host.Request{Tool: "segfault_once", Idempotent: true}, map[string]any{"path": mark}); err != nil {
		t.Errorf("the second worker should have answered: %v", err)
	}
	if ev := e.await(host.EventCallRetried, 1); ev.Reason != errdefs.WorkerCrashed {
		t.Errorf("retried because of %s", ev.Reason)
	}
}

func TestExceptionThatTheBarrierNamesReplacesItsWorker(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(p *host.PoolConfig) { p.Barrier.ErrorTypes = []string{"RuntimeError: CUDA error"} })
	w, err := e.call(t.Context(), host.Request{Tool: "break_device"}, nil)
	if errdefs.ReasonOf(err) != errdefs.PythonException {
		t.Fatal(err)
	}
	if ev := e.await(host.EventWorkerTainted, 1); ev.Worker != w || !strings.Contains(ev.Detail, "Broken") {
		t.Errorf("event %+v", ev)
	}
	if again := e.must("echo", nil); again == w {
		t.Error("the tainted worker runs calls still")
	}
	e.wantNone(host.EventWorkerDied)
}

func TestToolThatHoldsTheInterpreterIsNotTakenForHung(t *testing.T) {
	t.Parallel()
	e := newEngine(t, nimble)
	w := e.must("echo", nil)
	if got := e.must("hold", map[string]any{"seconds": 5}); got != w {
		t.Errorf("it ran on %s", got)
	}
	if got := e.must("echo", nil); got != w {
		t.Errorf("%s was replaced", w)
	}
	e.wantNone(host.EventWorkerHung)
}

func TestIdleWorkerThatNoLongerReadsIsReplaced(t *testing.T) {
	t.Parallel()
	e := newEngine(t, nimble)
	w := e.must("leave_a_thread_that_holds", map[string]any{"seconds": 3600})
	if ev := e.await(host.EventWorkerHung, 1); ev.Worker != w || ev.Reason != errdefs.WorkerHung {
		t.Errorf("event %+v", ev)
	}
	if again := e.must("echo", nil); again == w {
		t.Error("the hung worker answers")
	}
}

func TestOverrunSaysWhichLayerFoundIt(t *testing.T) {
	t.Parallel()
	e := newEngine(t, func(*host.PoolConfig) {})
	for tool, want := range map[string]string{"spin": "the worker stopped the tool", "hold": "deadline passed"} {
		e.must("echo", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := e.call(ctx, host.Request{Tool: tool}, map[string]any{"seconds": 4})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errdefs.MayHaveRun(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want deadline and %q", tool, err, want)
		}
	}
}

func TestProbesAreAnsweredWhateverTheToolsDoInPython(t *testing.T) {
	t.Parallel()
	for name, slots := range map[string]int{"in the main thread": 1, "on eight threads": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := dangerous
			if slots > 1 {
				source = strings.Replace(dangerous, "@tool\ndef spin(", "from snakepit import Adapter\nclass Threads(Adapter):\n    slots = 8\n    @tool\n    def spin(self, seconds: float):\n        busy(seconds)\n\ndef busy(", 1)
			}
			s := spec(t, source)
			if slots > 1 {
				s.Command.Args[len(s.Command.Args)-1] += ":Threads"
			}
			w, err := launcher(t).Launch(t.Context(), s, noTools{})
			if err != nil {
				t.Fatal(err)
			}
			var runs []host.Running
			for range slots {
				run, err := w.Start(t.Context(), host.Invocation{ID: "c", Tool: "spin", Payload: arguments(t, map[string]any{"seconds": 3.0})})
				if err != nil {
					t.Fatal(err)
				}
				runs = append(runs, run)
			}
			probeWhile(t, w, runs)
		})
	}
}

// probeWhile probes a worker until all runs are done. The bound is ten times what a
// pool would set here.
func probeWhile(t *testing.T, w host.Worker, runs []host.Running) {
	t.Helper()
	p, ok := w.(host.Prober)
	if !ok {
		t.Fatal("a worker can't be probed")
	}
	var worst, busy time.Duration
	n := 0
	for _, r := range runs {
		for open := true; open; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			begun := time.Now()
			b, err := p.Probe(ctx)
			cancel()
			if err != nil {
				t.Fatalf("probe %d: %v", n, err)
			}
			worst, busy = max(worst, time.Since(begun)), max(busy, b)
			select {
			case <-r.Done():
				open = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		if _, err := r.Recv(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if busy < time.Second {
		t.Errorf("the worker says that it was busy for %s at most, want about 3 s", busy)
	}
	t.Logf("%d probes, the slowest answered after %s", n, worst.Round(time.Millisecond))
}

func TestStoppedWorkerOwesNoAnswer(t *testing.T) {
	t.Parallel()
	w := start(t, dangerous)
	p, _ := w.(host.Prober)
	probe := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := p.Probe(ctx)
		return err
	}
	if err := probe(); err != nil {
		t.Fatal(err)
	}
	pid := w.Description().Process.PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(patience); !errors.Is(probe(), host.ErrPaused); {
		if time.Now().After(late) {
			t.Fatal("a stopped worker is never said to be")
		}
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	for late := time.Now().Add(patience); probe() != nil; {
		if time.Now().After(late) {
			t.Fatal("it goes on, and doesn't answer")
		}
	}
}
