//go:build unix

package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// patience is far above what a start takes; it only ends a test that hangs.
const patience = time.Minute

// launcher runs a launcher for the length of a test.
func launcher(t *testing.T) *plugin.Launcher {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	l := plugin.NewLauncher(plugin.Config{Dir: dir, Host: "test", Incarnation: 1})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("folders of workers are left: %v %v", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return l
}

// spec is a worker for an adapter given as source.
func spec(t *testing.T, source string) host.Spec {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "adapter.py"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return specFor(t, dir, "adapter.py")
}

func specFor(t *testing.T, dir, adapter string) host.Spec {
	t.Helper()
	cmd, err := python.Target{Adapter: adapter, Dir: dir, Interpreter: plugin.Interpreter(t)}.Command()
	if err != nil {
		t.Fatal(err)
	}
	return host.Spec{Pool: "default", Worker: "default-1", Command: cmd, Timeout: patience}
}

// noTools is a host without tools.
type noTools struct{}

func (noTools) ServeTool(_ context.Context, _ host.WorkerID, inv host.Invocation) ([]byte, error) {
	return nil, errdefs.New(errdefs.ToolNotFound, "no tool %s", inv.Tool)
}

func start(t *testing.T, source string) host.Worker {
	t.Helper()
	w, err := launcher(t).Launch(t.Context(), spec(t, source), noTools{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const echo = `
from snakepit import tool

@tool
def echo(value):
    return value
`

// emptyMap is msgpack for no arguments.
const emptyMap = "\x80"

func TestFailedStartsSayWhyAtOnceAndLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source, adapter string
		wantType        string // of the Python exception; empty: none
		want            []string
	}{
		"syntax error":     {source: "def broken(:\n", wantType: "SyntaxError", want: []string{"adapter.py", "line 1"}},
		"raises on import": {source: "raise RuntimeError('no license')\n", wantType: "RuntimeError", want: []string{"no license"}},
		"missing import":   {source: "import not_installed_anywhere\n", wantType: "ModuleNotFoundError", want: []string{"not_installed_anywhere"}},
		"no tools":         {source: "x = 1\n", want: []string{"tool"}},
		"two of one name":  {source: echo + "\n@tool(name='echo')\ndef other(value):\n    return value\n", want: []string{"echo"}},
		"bad tool name":    {source: "from snakepit import tool\n@tool(name='no spaces')\ndef f():\n    pass\n", want: []string{"no spaces"}},
		"class not there":  {source: echo, adapter: "adapter.py:Digits", want: []string{"Digits"}},
		"module not there": {source: echo, adapter: "not_a_module_of_ours", want: []string{"not_a_module_of_ours"}},
		"setup raises":     {source: "from snakepit import Adapter, tool\nclass A(Adapter):\n    def setup(self):\n        raise OSError('no GPU')\n    @tool\n    def f(self):\n        pass\n", adapter: "adapter.py:A", wantType: "OSError", want: []string{"no GPU"}},
		"exits on import":  {source: "import sys; sys.exit(3)\n", want: []string{"3"}},
		"os._exit":         {source: "import os; os._exit(7)\n", want: []string{"exit code 7"}},
		"segfault":         {source: "import ctypes; ctypes.string_at(0)\n", want: []string{"SIGSEGV"}},
	} {
		for start, fork := range map[string]bool{"executed": false, "forked": true} {
			t.Run(name+", "+start, func(t *testing.T) {
				t.Parallel()
				s := spec(t, c.source)
				s.Settings.Fork = fork
				if c.adapter != "" {
					target := &s.Command.Args[len(s.Command.Args)-1]
					*target = strings.Replace(c.adapter, "adapter.py", *target, 1)
				}
				begun := time.Now()
				_, err := launcher(t).Launch(t.Context(), s, noTools{})
				var e *errdefs.Error
				if !errors.As(err, &e) || e.Reason != errdefs.StartFailed {
					t.Fatalf("Launch = %v, want start_failed", err)
				}
				if e.Where.Pool != "default" || e.Where.Worker != "default-1" {
					t.Errorf("Where = %+v, want pool and worker", e.Where)
				}
				if c.wantType != "" && (e.Exception == nil || e.Exception.Type != c.wantType || e.Exception.Traceback == "") {
					t.Errorf("exception = %+v, want a %s with its traceback", e.Exception, c.wantType)
				}
				text := e.Error()
				if e.Exception != nil {
					text += e.Exception.Traceback
				}
				for _, want := range c.want {
					if !strings.Contains(text, want) {
						t.Errorf("%q doesn't say %q", text, want)
					}
				}
				t.Logf("%s: %v", time.Since(begun).Round(time.Millisecond), err)
			})
		}
	}
}

func TestInterpretersThatCannotServeAreExplained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "adapter.py"), []byte(echo), 0o600); err != nil {
		t.Fatal(err)
	}
	s := specFor(t, dir, "adapter.py")
	fake := func(name, body string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
			t.Fatal(err)
		}
		return p
	}
	bare := filepath.Join(dir, "bare")
	for name, c := range map[string]struct{ path, want string }{
		"SDK not installed": {fake("nosdk", `exec "`+plugin.Interpreter(t)+`" -I -S "$@"`), "pip install"},
		"too old":           {fake("old", `echo "snakepit: Python 3.10.1 at $0 is too old: 3.11 or newer is needed" >&2; exit 1`), "newer interpreter"},
		"not there":         {bare, "no such file"},
		"no Python at all":  {fake("sh", "exit 0"), "exit code 0"},
		"another protocol":  {fake("v9", "echo '1|9|unix|/x|grpc'; sleep 30"), "version_mismatch"},
		"a certificate":     {fake("tls", "echo '1|1|unix|/x|grpc|"+strings.Repeat("QUJD", 20)+"'; sleep 30"), "certificate"},
		"nobody listens":    {fake("mute", "echo '1|1|unix|"+filepath.Join(dir, "nobody.sock")+"|grpc'; sleep 30"), "nobody.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s
			s.Command.Path = c.path
			_, err := launcher(t).Launch(t.Context(), s, noTools{})
			if err == nil || !strings.Contains(err.Error()+detail(err), c.want) {
				t.Errorf("Launch = %v%s, want something about %q", err, detail(err), c.want)
			}
		})
	}
}

// detail is what an error says about the end of its process.
func detail(err error) string {
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Exit == nil {
		return ""
	}
	return " " + strings.Join(e.Exit.Stderr, " | ")
}

func TestASlowStartEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"import sleeps":        "import time; time.sleep(60)\n",
		"import holds the GIL": "import ctypes; ctypes.PyDLL(None).sleep(60)\n",
		"import is stopped":    "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)\n",
	} {
		for start, fork := range map[string]bool{"executed": false, "forked": true} {
			t.Run(name+", "+start, func(t *testing.T) {
				t.Parallel()
				s := spec(t, source)
				s.Settings.Fork = fork
				s.Timeout = 2 * time.Second
				_, err := launcher(t).Launch(t.Context(), s, noTools{})
				if errdefs.ReasonOf(err) != errdefs.StartFailed || !strings.Contains(err.Error(), "start_timeout (2s)") {
					t.Errorf("Launch = %v, want start_failed at start_timeout", err)
				}
			})
		}
	}
}

func TestALaunchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := spec(t, "import os, sys, time\nopen(sys.argv[0] and "+`os.environ["READY"]`+", 'w').close()\ntime.sleep(60)\n")
	ready := filepath.Join(t.TempDir(), "ready")
	s.Command.Env = append(s.Command.Env, "READY="+ready)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if _, err := os.Stat(ready); err == nil {
				cancel()
				return
			}
		}
	}()
	if _, err := launcher(t).Launch(ctx, s, noTools{}); errdefs.ReasonOf(err) != errdefs.StartFailed {
		t.Errorf("Launch = %v, want start_failed", err)
	}
}

func TestStopEndsAWorkerPolitely(t *testing.T) {
	t.Parallel()
	w := start(t, echo)
	begun := time.Now()
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	t.Logf("stopped in %s", took)
	if err := w.Err(); err != nil {
		t.Errorf("Err = %v after Stop, want nil", err)
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if took > 2*time.Second {
		t.Errorf("an idle worker took %s to stop: it was killed, not asked", took)
	}
	assertGone(t, w.Description().Process)
}

// deadlock is a tool that holds the GIL in a C call for ever: it locks a mutex
// twice. A sleep would do it only until SIGTERM, which cuts it short, and then
// the call has a result.
const deadlock = `@tool
def stuck():
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)
`

func TestStopEndsAWorkerThatIgnoresEverything(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"C call with the GIL": "import ctypes\nfrom snakepit import tool\n" + deadlock,
		"loop":                "from snakepit import tool\n@tool\ndef stuck():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spec(t, source)
			s.Settings.StopTimeout = 300 * time.Millisecond
			w, err := launcher(t).Launch(t.Context(), s, noTools{})
			if err != nil {
				t.Fatal(err)
			}
			run, err := w.Start(t.Context(), host.Invocation{Tool: "stuck", Payload: []byte(emptyMap)})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := run.Recv(t.Context()); errdefs.ReasonOf(err) != errdefs.Draining || !errdefs.MayHaveRun(err) {
				t.Errorf("the call ended with %v, want draining that may have run", err)
			}
			assertGone(t, w.Description().Process)
		})
	}
}

func TestDeathsInACallAreToldWithTheExit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want, last string }{
		"os._exit": {"import os; print('last words', flush=True); os._exit(9)", "exit code 9", "last words"},
		"segfault": {"import ctypes; ctypes.string_at(0)", "signal SIGSEGV", "in string_at"},
		"SIGKILL":  {"import os; print('last words', flush=True); os.kill(os.getpid(), 9)", "signal SIGKILL", "last words"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, "from snakepit import tool\n@tool\ndef die():\n    "+c.body+"\n")
			run, err := w.Start(t.Context(), host.Invocation{ID: "c1", Tool: "die", Payload: []byte(emptyMap)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = run.Recv(t.Context())
			var e *errdefs.Error
			if !errors.As(err, &e) || e.Reason != errdefs.WorkerCrashed || !e.MayHaveRun || e.Exit == nil {
				t.Fatalf("Recv = %v, want worker_crashed with an exit, that may have run", err)
			}
			if e.Exit.String() != c.want || !strings.Contains(strings.Join(e.Exit.Stderr, "\n"), c.last) {
				t.Errorf("exit = %s with %q, want %s and %q", e.Exit, e.Exit.Stderr, c.want, c.last)
			}
			<-run.Done()
			<-w.Done()
			if errdefs.ReasonOf(w.Err()) != errdefs.WorkerCrashed {
				t.Errorf("Err = %v, want worker_crashed", w.Err())
			}
			if _, err := w.Start(t.Context(), host.Invocation{Tool: "die", Payload: []byte(emptyMap)}); err == nil || errdefs.MayHaveRun(err) {
				t.Errorf("Start on a dead worker: %v, want an error that can't have run", err)
			}
		})
	}
}

func TestKillNamesItsCause(t *testing.T) {
	t.Parallel()
	w := start(t, echo)
	k, ok := w.(host.Killer)
	if !ok {
		t.Fatal("a worker can't be killed")
	}
	k.Kill(errors.New("it ignored a cancel"))
	<-w.Done()
	if err := w.Err(); err == nil || !strings.Contains(err.Error(), "it ignored a cancel") {
		t.Errorf("Err = %v, want the cause of the kill", err)
	}
}

func TestNoiseOnBothPipesDoesNotDisturbAWorker(t *testing.T) {
	t.Parallel()
	w := start(t, `
import os, sys
print("x" * 200_000)
os.write(1, b"\xff\x00 not text\n" * 1000)
sys.stderr.write('{"@message":123}\n{"@level":null}\n' + "y" * 100_000 + "\n")

from snakepit import tool

@tool
def shout() -> int:
    print("z" * 300_000)
    sys.stderr.write('{"@message":123}\n' * 1000)
    return 42
`)
	run, err := w.Start(t.Context(), host.Invocation{Tool: "shout", Payload: []byte(emptyMap)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := run.Recv(t.Context())
	if err != nil || !m.Last || string(m.Payload) != "\x2a" {
		t.Errorf("Recv = %+v, %v; want 42", m, err)
	}
}

// assertGone fails while a process is alive; pid and start time name it.
func assertGone(t *testing.T, p host.Process) {
	t.Helper()
	if p.PID == 0 {
		t.Fatal("no process to look for")
	}
	if err := syscall.Kill(p.PID, 0); err == nil {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
		if strings.Contains(string(stat), " "+strconv.Itoa(int(p.StartTime))+" ") {
			t.Errorf("process %d is still there: %s", p.PID, stat)
		}
	}
}
