//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const hungry = `
import ctypes, os, sys
from snakepit import tool

held = []

@tool
def take(mebibytes: int) -> int:
    held.append(bytearray(mebibytes << 20))
    return len(held)

@tool
def drop() -> None:
    held.clear()

@tool
def abort(mebibytes: int) -> None:
    """Does what a C++ library does that gets no memory and catches nothing."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    if not libc.malloc(ctypes.c_size_t(mebibytes << 20)):
        sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
        sys.stderr.flush()
        os.abort()

@tool
def open_files(n: int) -> int:
    files = [open(os.devnull) for _ in range(n)]
    return len(files)
`

// logged keeps what a launcher logs.
type logged struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// starved starts workers under limits, by rlimits alone, and gives what was logged.
func starved(t *testing.T, limits host.Limits, workers ...host.WorkerID) ([]host.Worker, *logged) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	l := plugin.NewLauncher(plugin.Config{
		Dir: dir, Host: "test", Incarnation: 1, NoCgroups: true, Logger: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug}),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = os.RemoveAll(dir)
	})
	var out []host.Worker
	for _, id := range workers {
		s := spec(t, hungry)
		s.Worker, s.Settings.Limits = id, limits
		w, err := l.Launch(t.Context(), s, noTools{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, w)
	}
	return out, log
}

// fails runs a tool that has to fail.
func fails(t *testing.T, w host.Worker, tool string, args map[string]any) *errdefs.Error {
	t.Helper()
	err := try(t, w, tool, args)
	var e *errdefs.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: %v", tool, err)
	}
	return e
}

func TestToolThatWantsTooMuchMemoryFailsAndItsWorkerGoesOn(t *testing.T) {
	t.Parallel()
	w, _ := starved(t, host.Limits{Memory: 1 << 30}, "w-1")
	e := fails(t, w[0], "take", map[string]any{"mebibytes": 2000})
	if e.Reason != errdefs.PythonException || e.Exception == nil || e.Exception.Type != "MemoryError" {
		t.Errorf("2,000 MiB under a limit of 1 GiB: %v", e)
	}
	var n int
	ask(t, w[0], "take", map[string]any{"mebibytes": 1}, &n)
	if n != 1 {
		t.Errorf("afterwards it holds %d", n)
	}
}

func TestWorkerThatDiesForWantOfMemorySaysSo(t *testing.T) {
	t.Parallel()
	w, _ := starved(t, host.Limits{Memory: 1 << 30}, "w-1")
	e := fails(t, w[0], "abort", map[string]any{"mebibytes": 2000})
	if e.Reason != errdefs.WorkerCrashed || !strings.Contains(e.Error(), "memory") || e.Exit == nil || e.Exit.Signal != "SIGABRT" {
		t.Errorf("a worker that aborts for want of memory: %v; it said %q", e, e.Exit.Stderr)
	}
}

func TestTooManyOpenFilesAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := starved(t, host.Limits{OpenFiles: 64}, "w-1")
	e := fails(t, w[0], "open_files", map[string]any{"n": 100})
	if e.Exception == nil || e.Exception.Type != "OSError" || !strings.Contains(e.Exception.Message, "Too many open files") {
		t.Errorf("100 files under a limit of 64: %v", e)
	}
}

func TestLimitThatNobodyHoldsIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	_, log := starved(t, host.Limits{CPU: 0.5, OpenFiles: 200}, "w-1", "w-2")
	text := log.String()
	if n := strings.Count(text, "aren't held to a limit"); n != 1 || !strings.Contains(text, "limit=cpu") {
		t.Errorf("%d warnings of CPU:\n%s", n, text)
	}
	if n := strings.Count(text, "the worker is held to a limit"); n != 2 {
		t.Errorf("%d words of the limit that holds, want one for each worker", n)
	}
}
