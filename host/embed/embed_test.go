//go:build unix

package embed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const adapter = `
import time
from collections.abc import Iterator
from snakepit import Adapter, Context, Input, tool

class Tools(Adapter):
    def setup(self) -> None:
        self.seen = {}

    @tool
    def echo(self, value):
        return value

    @tool
    def add(self, a: int, b: int = 1) -> int:
        return a + b

    @tool
    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    @tool
    def total(self, numbers: Input[int]) -> int:
        return sum(numbers)

    @tool
    def remember(self, ctx: Context, key: str) -> int:
        self.seen.setdefault(ctx.session.id, []).append(key)
        return len(self.seen[ctx.session.id])

    @tool
    def ask(self, ctx: Context, x: int) -> int:
        return ctx.host.double(x=x)

    @tool
    def report(self, ctx: Context) -> str:
        ctx.progress(1, 2, "half")
        return "done"

    @tool
    def spin(self) -> None:
        while True:
            pass

    @tool
    def fail(self, message: str):
        raise ValueError(message)
`

// interpreter is the Python that has the SDK.
func interpreter(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("SNAKEPIT_TEST_PYTHON"); p != "" {
		return p
	}
	p, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("no Python environment with the SDK: run `make setup`, or set SNAKEPIT_TEST_PYTHON (%v)", err)
	}
	return p
}

func write(t *testing.T, source string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "adapter.py")
	if err := os.WriteFile(p, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func config(t *testing.T, set ...string) embed.Config {
	t.Helper()
	return embed.Config{Adapter: write(t, adapter) + ":Tools", Workers: 2, Set: append([]string{"python=" + interpreter(t)}, set...)}
}

func start(t *testing.T, cfg embed.Config) *embed.Host {
	t.Helper()
	sp, err := embed.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	return sp
}

// doors opens both ways to one host: in process, and over its socket.
func doors(t *testing.T, set ...string) map[string]snakepit.Caller {
	t.Helper()
	cfg := config(t, set...)
	cfg.Serve = true
	sp := start(t, cfg)
	c, err := client.Dial(t.Context(), sp.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]snakepit.Caller{"embed": sp, "client": c}
}

func TestBothDoorsOfferTheSameVerbs(t *testing.T) {
	t.Parallel()
	for name, sp := range doors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, check := range map[string]func(*testing.T, snakepit.Caller){
				"call": call, "stream": stream, "input": input, "host tool": hostTool,
				"progress": progress, "errors": failures, "tools": tools, "cancel": cancel,
			} {
				t.Run(what, func(t *testing.T) { t.Parallel(); check(t, sp) })
			}
		})
	}
}

// A session's call visits another worker while its home is busy. So this has a host of
// its own, with one call at a time.
func TestBothDoorsKeepSessions(t *testing.T) {
	for name, sp := range doors(t) {
		t.Run(name, func(t *testing.T) { session(t, sp) })
	}
}

func call(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	got, err := snakepit.Call[int](t.Context(), sp, "add", map[string]any{"a": 40, "b": 2})
	if err != nil || got != 42 {
		t.Errorf("add = %d, %v; want 42", got, err)
	}
	big := strings.Repeat("é", 8<<20)
	echoed, err := snakepit.Call[string](t.Context(), sp, "echo", map[string]any{"value": big})
	if err != nil || echoed != big {
		t.Errorf("16 MiB came back as %d bytes, %v", len(echoed), err)
	}
	if err := sp.Call(t.Context(), "add", map[string]any{"a": 1}, nil); err != nil {
		t.Errorf("a result that nobody wants: %v", err)
	}
}

func stream(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	var got []int
	for n, err := range snakepit.Stream[int](t.Context(), sp, "count", map[string]any{"n": 5}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, got); diff != "" {
		t.Error(diff)
	}
	for n, err := range snakepit.Stream[int](t.Context(), sp, "count", map[string]any{"n": 1_000_000_000}) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 10 {
			break // leaving early cancels
		}
	}
	list, err := snakepit.Call[[]int](t.Context(), sp, "count", map[string]any{"n": 3})
	if err != nil || len(list) != 3 {
		t.Errorf("a streaming tool, called: %v, %v; want a list of three", list, err)
	}
}

func input(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	sum, err := snakepit.Call[int](t.Context(), sp, "total", nil, snakepit.InputOf(1, 2, 39))
	if err != nil || sum != 42 {
		t.Errorf("total = %d, %v; want 42", sum, err)
	}
	broken := errors.New("the file ended")
	err = sp.Call(t.Context(), "total", nil, nil, snakepit.Input(func(yield func(int, error) bool) {
		_ = yield(1, nil) && yield(0, broken)
	}))
	if !errors.Is(err, broken) {
		t.Errorf("a broken input gives %v, want its own error", err)
	}
}

func session(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	id := "s-" + t.Name()
	for want := 1; want <= 5; want++ {
		got, err := snakepit.Call[int](t.Context(), sp, "remember", map[string]any{"key": "k"}, snakepit.Session(id))
		if err != nil || got != want {
			t.Fatalf("the session remembers %d keys, %v; want %d", got, err, want)
		}
	}
	err := sp.Call(t.Context(), "remember", map[string]any{"key": "k"}, nil, snakepit.Session("nobody-"+id), snakepit.MustExist())
	if errdefs.ReasonOf(err) != errdefs.SessionNotFound {
		t.Errorf("a session that must exist: %v, want session_not_found", err)
	}
}

func hostTool(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	type in struct {
		X int `json:"x"`
	}
	err := snakepit.Handle(t.Context(), sp, "double", func(_ context.Context, in in) (int, error) { return 2 * in.X, nil })
	if errdefs.ReasonOf(err) != errdefs.Exists && err != nil { // the other door was first
		t.Fatal(err)
	}
	got, err := snakepit.Call[int](t.Context(), sp, "ask", map[string]any{"x": 21})
	if err != nil || got != 42 {
		t.Errorf("ask = %d, %v; want 42", got, err)
	}
	if got, err := snakepit.Call[int](t.Context(), sp, "double", in{4}); err != nil || got != 8 {
		t.Errorf("a Go caller gets %d, %v of a host tool; want 8", got, err)
	}
}

func progress(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	var seen atomic.Pointer[snakepit.Progress]
	got, err := snakepit.Call[string](t.Context(), sp, "report", nil, snakepit.OnProgress(func(p snakepit.Progress) { seen.Store(&p) }))
	if err != nil || got != "done" {
		t.Fatalf("report = %q, %v", got, err)
	}
	if diff := cmp.Diff(&snakepit.Progress{Done: 1, Total: 2, Message: "half"}, seen.Load()); diff != "" {
		t.Error(diff)
	}
}

func failures(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	for name, c := range map[string]struct {
		tool   string
		args   any
		reason errdefs.Reason
		want   string
	}{
		"exception":    {"fail", map[string]any{"message": "no"}, errdefs.PythonException, "ValueError"},
		"unknown tool": {"ehco", nil, errdefs.ToolNotFound, "echo"},
		"missing":      {"add", nil, errdefs.InvalidArguments, "a"},
		"wrong type":   {"add", map[string]any{"a": "x"}, errdefs.InvalidArguments, "$.a"},
		"extra":        {"add", map[string]any{"a": 1, "c": 2}, errdefs.InvalidArguments, "c"},
		"empty name":   {"", nil, errdefs.InvalidToolName, ""},
		"long name":    {strings.Repeat("x", 65), nil, errdefs.InvalidToolName, "65"},
		"absurd name":  {strings.Repeat("x", 10_000), nil, errdefs.InvalidToolName, "10000"},
		"no map":       {"add", 5, errdefs.InvalidArguments, "map"},
	} {
		err := sp.Call(t.Context(), c.tool, c.args, nil)
		if errdefs.ReasonOf(err) != c.reason || !strings.Contains(fmt.Sprint(err)+exceptionOf(err), c.want) {
			t.Errorf("%s: %v, want %s about %q", name, err, c.reason, c.want)
		}
		if len(fmt.Sprint(err)) > 2000 {
			t.Errorf("%s: an error of %d bytes", name, len(fmt.Sprint(err)))
		}
	}
}

func exceptionOf(err error) string {
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Exception == nil {
		return ""
	}
	return e.Exception.Type
}

func tools(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	list, err := sp.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var streams []string
	for _, tl := range list {
		if tl.Stream {
			streams = append(streams, tl.Name)
		}
		if tl.Pool == "default" && !strings.Contains(tl.InputSchema, `"object"`) {
			t.Errorf("%s has the schema %s", tl.Name, tl.InputSchema)
		}
	}
	if diff := cmp.Diff([]string{"count"}, streams); diff != "" {
		t.Error(diff)
	}
}

func cancel(t *testing.T, sp snakepit.Caller) {
	t.Helper()
	begun := time.Now()
	err := sp.Call(t.Context(), "spin", nil, nil, snakepit.Timeout(100*time.Millisecond))
	if errdefs.ReasonOf(err) != errdefs.Deadline || !errdefs.MayHaveRun(err) {
		t.Errorf("a spinning tool: %v, want deadline that may have run", err)
	}
	t.Logf("free after %s", time.Since(begun))
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the caller was free after %s", took)
	}
}

func TestManyCallersGetTheirOwnAnswersAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	sp := start(t, config(t))
	const callers, each = 64, 40
	var wrong atomic.Int64
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				got, err := snakepit.Call[int](t.Context(), sp, "add", map[string]any{"a": c * each, "b": i})
				if err != nil || got != c*each+i {
					wrong.Add(1)
				}
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d answers are wrong", n, callers*each)
	}
}

func TestAFailedStartUndoesEverything(t *testing.T) {
	base := runtimeDir(t)
	cfg := config(t)
	cfg.Adapter = write(t, "raise RuntimeError('no licence')\n")
	_, err := embed.Start(t.Context(), cfg)
	if errdefs.ReasonOf(err) != errdefs.StartFailed || !strings.Contains(err.Error(), "no licence") {
		t.Errorf("Start = %v, want start_failed with the exception", err)
	}
	assertEmpty(t, filepath.Join(base, "snakepit"))
}

func TestAPrivateHostLeavesNothing(t *testing.T) {
	base := runtimeDir(t)
	sp, err := embed.Start(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sp.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := sp.Wait(t.Context()); err != nil {
		t.Errorf("Wait = %v", err)
	}
	assertEmpty(t, filepath.Join(base, "snakepit"))
}

// runtimeDir is where run folders go during a test; t.TempDir is too long for sockets.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}

func assertEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%s: %v left, %v", dir, left, err)
	}
}

func TestTheNextStartSweepsWhatADeadHostLeft(t *testing.T) {
	base := runtimeDir(t)
	dead := filepath.Join(base, "snakepit", "deadbeef", "worker")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(dead), "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := start(t, config(t)) // alive: its folder must stay
	sp := start(t, config(t))
	for _, h := range []*embed.Host{other, sp} {
		if err := h.Call(t.Context(), "add", map[string]any{"a": 1}, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(dead)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead host's folder: %v, want it gone", err)
	}
}

func TestASecondHostOnADataDirectoryIsRefusedWithThePid(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.DataDir, cfg.Serve = t.TempDir(), true
	sp := start(t, cfg)
	_, err := embed.Start(t.Context(), cfg)
	if errdefs.ReasonOf(err) != errdefs.Exists || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("Start = %v, want exists with the pid", err)
	}
	r, err := embed.ReadRecord(cfg.DataDir)
	if err != nil || r.Socket != sp.Socket() || r.PID != os.Getpid() {
		t.Errorf("the record is %+v, %v; want the live host's", r, err)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.ReadRecord(cfg.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record after the end: %v, want none", err)
	}
	start(t, cfg) // the directory is free again
}

func TestConfigurationIsCheckedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]embed.Config{
		"nothing":         {},
		"both forms":      {Adapter: "x.py", Pools: []embed.Pool{{Name: "a", Adapter: "y.py"}}},
		"unknown knob":    {Adapter: "x.py", Set: []string{"pool_sice=3"}},
		"missing file":    {Adapter: "nowhere.py"},
		"missing python":  {Adapter: write(t, adapter), Set: []string{"python=/nowhere/python3"}},
		"pool's own knob": {Pools: []embed.Pool{{Name: "a", Adapter: write(t, adapter), Set: []string{"lane=pigeon"}}}},
		"two of a name":   {Pools: []embed.Pool{{Name: "a", Adapter: write(t, adapter)}, {Name: "a", Adapter: write(t, adapter)}}, Set: []string{"python=" + interpreter(t)}},
	} {
		if _, err := embed.Start(t.Context(), cfg); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s: %v, want invalid_config", name, err)
		}
	}
}

func TestEveryCarrierServes(t *testing.T) {
	t.Parallel()
	for _, carrier := range []string{"local", "grpc"} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			sp := start(t, config(t, "lane="+carrier))
			call(t, sp)
			stream(t, sp)
			input(t, sp)
		})
	}
}

func TestShutdownWithoutPatienceKills(t *testing.T) {
	t.Parallel()
	sp := start(t, config(t))
	running := make(chan error, 1)
	go func() { running <- sp.Call(context.Background(), "spin", nil, nil) }()
	for busy := 0; busy == 0; {
		for _, w := range sp.Workers("") {
			busy += w.Busy
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	if err := sp.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("forced in %s", time.Since(begun))
	if err := <-running; err == nil || !errdefs.MayHaveRun(err) {
		t.Errorf("the call ended with %v, want an error that may have run", err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("a forced end took %s", took)
	}
}
