//go:build integration

package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/integration/program"
)

// commandTimeout bounds one run of the program. It's far above what any takes.
const commandTimeout = 2 * time.Minute

// place is a user's account of its own: home, state and run folders that nobody
// else uses, and copies of adapters, so that every process of ours can be told by
// the path on its command line.
type place struct {
	dir string
	env []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp-") //nolint:usetesting // t.TempDir is too long for the sockets below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &place{dir: dir, env: append(os.Environ(),
		"HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_RUNTIME_DIR="+dir, "NO_COLOR=1",
	)}
	t.Cleanup(func() { p.wantNobodyLeft(t) })
	return p
}

// adapter copies one of testdata's adapters here and returns its path.
func (p *place) adapter(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, src, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// outcome is what one run of the program gave.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the program to its end.
func (p *place) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return p.runWithInput(t, "", args...)
}

func (p *place) runWithInput(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := p.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("snakepit %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (p *place) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	cmd.WaitDelay = time.Second
	return cmd
}

// call runs a tool of an adapter on a host of its own.
func (p *place) call(t *testing.T, adapter string, args ...string) outcome {
	t.Helper()
	return p.run(t, append([]string{"call", "--adapter", adapter, "--set", "python=" + program.Python(t)}, args...)...)
}

// server is a running `snakepit serve`.
type server struct {
	cmd    *exec.Cmd
	ready  string // the line that it printed
	lines  *bufio.Reader
	stderr *bytes.Buffer
	ended  bool
}

// serve starts a host and returns once it's ready. It's stopped with the test.
func (p *place) serve(t *testing.T, adapter string, args ...string) *server {
	t.Helper()
	// The host outlives t.Context, which ends before the clean-up that stops it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandTimeout)
	t.Cleanup(cancel)
	cmd := p.command(ctx, append([]string{"serve", "--adapter", adapter, "--set", "python=" + program.Python(t)}, args...)...)
	s := &server{cmd: cmd, stderr: new(bytes.Buffer)}
	cmd.Stderr = s.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t, syscall.SIGTERM) })
	s.lines = bufio.NewReader(stdout)
	s.ready, err = s.lines.ReadString('\n')
	if err != nil {
		s.stop(t, syscall.SIGTERM)
		t.Fatalf("no ready line: %v\n%s", err, s.stderr)
	}
	return s
}

// stop ends the host and returns its exit code; again it does nothing.
func (s *server) stop(t *testing.T, sig syscall.Signal) int {
	t.Helper()
	if !s.ended {
		s.ended = true
		_ = s.cmd.Process.Signal(sig) // it may have ended by itself
		_ = s.cmd.Wait()              // the exit code says it
	}
	return s.cmd.ProcessState.ExitCode()
}

// process is a process as the kernel knows it: pids are used again.
type process struct {
	pid   int
	start string
}

// identify reads when a process was started; false when it isn't alive.
func identify(pid int) (process, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, startTime = 0, 19 // fields 3 and 22 of proc(5)
	if len(fields) <= startTime || fields[state] == "Z" {
		return process{}, false
	}
	return process{pid, fields[startTime]}, true
}

// alive reports whether it's still that process.
func (x process) alive() bool {
	now, ok := identify(x.pid)
	return ok && now == x
}

// processes are those with this place's folder on their command line.
func (p *place) processes(t *testing.T) map[process]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc here: processes can't be counted")
	}
	found := map[process]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // empty: it has gone
		if x, ok := identify(pid); ok && bytes.Contains(line, []byte(p.dir)) {
			found[x] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// wantNobodyLeft fails the test when a process of this place is still alive.
func (p *place) wantNobodyLeft(t *testing.T) {
	t.Helper()
	for x, line := range p.processes(t) {
		t.Errorf("process %d is still alive: %s", x.pid, line)
	}
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	eventuallyWithin(t, 10*time.Second, what, f)
}

func eventuallyWithin(t *testing.T, limit time.Duration, what string, f func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s: %s", limit, what)
		}
	}
}

// decode reads JSON into a value of type T.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}
