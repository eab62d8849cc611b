//go:build linux

package plugin

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// hostVariable makes a test binary a host; it holds a testHost.
const hostVariable = "SNAKEPIT_TEST_HOST"

// testHost is a host without an engine: a launcher and its ledger.
type testHost struct {
	Dir      string // for sockets
	Data     string // for the ledger and the logs
	Instance string
	Grace    time.Duration
	Command  host.Command
	Workers  []host.WorkerID
	Fork     bool
	Isolated bool
	GPUs     int // for each worker

	Generation uint64

	Call   string  // the tool that each worker runs once; empty: remember
	Freeze bool    // pin every worker and let the lease end
	Estate *Estate // of a dead host, to adopt all workers from

	DieAt  string // the step of a start at which it kills itself
	DieNth int32  // how many workers have come so far by then
}

func newTestHost(t *testing.T, cmd host.Command) testHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	h := testHost{
		Dir: dir, Data: t.TempDir(), Instance: NewInstance(), Grace: patience, Command: cmd, Workers: []host.WorkerID{"default-1"},
	}
	t.Cleanup(func() {
		for _, o := range Sweep(h.Instance, nil, false) {
			t.Errorf("process %d is left: %s", o.PID, o.Command)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h testHost) ledgerPath() string { return filepath.Join(h.Data, "ledger.db") }

func (h testHost) spec(id host.WorkerID) host.Spec {
	return host.Spec{
		Pool: "default", Worker: id, Command: h.Command, Timeout: patience,
		Settings: host.WorkerSettings{Fork: h.Fork, GPUs: h.GPUs}, Generation: h.Generation,
	}
}

// launcher makes the launcher; whoever called it closes the ledger.
func (h testHost) launcher(logger hclog.Logger) (*Launcher, *ledger.Ledger, error) {
	// A fork of the dead host may hold its lock until the exec.
	l, err := ledger.Open(h.ledgerPath(), ledger.Options{LockTimeout: patience})
	if err != nil {
		return nil, nil, err
	}
	return NewLauncher(Config{
		Dir: h.Dir, LogDir: h.Data, Host: "test", Instance: h.Instance, Ledger: l, OrphanGrace: h.Grace, Logger: logger,
		Isolated: h.Isolated,
	}), l, nil
}

// beHost starts the workers, calls each once, says so, and goes on until it's killed
// or its standard input ends.
func beHost(config string) int {
	var h testHost
	if err := json.Unmarshal([]byte(config), &h); err != nil {
		return complain(err)
	}
	l, _, err := h.launcher(nil)
	if err != nil {
		return complain(err)
	}
	h.dieAtStep(l)
	go func() { _ = l.Run(context.Background()) }() // until the process ends
	if err := h.inherit(l); err != nil {
		return complain(err)
	}
	var all sync.WaitGroup
	workers := make([]host.Worker, len(h.Workers))
	for i, id := range h.Workers {
		all.Go(func() { workers[i] = h.work(l, id) })
	}
	all.Wait()
	if h.Freeze {
		if err := freeze(l, workers); err != nil {
			return complain(err)
		}
	}
	_, _ = fmt.Fprintln(os.Stdout, "all")
	_, _ = io.Copy(io.Discard, os.Stdin) // the test is over, or dead
	return 0
}

// inherit adopts every worker of the estate, for a host that has one.
func (h testHost) inherit(l *Launcher) error {
	if h.Estate == nil {
		return nil
	}
	_, err := l.Adopt(context.Background(), *h.Estate, func(host.WorkerID) bool { return true })
	return err
}

// work has one worker: it's launched, or goes on if it's a survivor. nil: neither.
func (h testHost) work(l *Launcher, id host.WorkerID) host.Worker {
	ctx := context.Background()
	w, err := l.Reattach(ctx, h.spec(id), toolless{})
	if errdefs.ReasonOf(err) == errdefs.WorkerNotFound {
		w, err = l.Launch(ctx, h.spec(id), toolless{})
	}
	if err != nil {
		_ = complain(err)
		return nil
	}
	_, _ = callTool(ctx, w, cmp.Or(h.Call, "remember")) // not every adapter has it
	_, _ = fmt.Fprintln(os.Stdout, "ready", id, w.Description().Process.PID, w.Description().Process.StartTime)
	return w
}

// freeze pins the workers and lets the lease end, and returns once they're frozen.
func freeze(l *Launcher, workers []host.Worker) error {
	for _, w := range workers {
		if p, ok := w.(host.Pinner); !ok || !p.Pin() {
			return errors.New("a worker can't be pinned")
		}
	}
	if err := l.SetLease(1); err != nil {
		return err
	}
	for _, w := range workers {
		for !isPaused(w) { // it will be
		}
	}
	return nil
}

// isPaused waits a moment for a worker's answer: one that is frozen meanwhile gives none.
func isPaused(w host.Worker) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := w.(host.Prober).Probe(ctx) //nolint:errcheck,forcetypeassert // it's ours
	return errors.Is(err, host.ErrPaused)
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "test host:", err)
	return 1
}

func (h testHost) dieAtStep(l *Launcher) {
	var seen atomic.Int32
	l.step = func(name string) {
		if name == h.DieAt && seen.Add(1) == h.DieNth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // and that was that
			select {}
		}
	}
}

// hostProcess is a testHost in a process of its own.
type hostProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func (h testHost) start(t *testing.T) *hostProcess {
	t.Helper()
	config, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), hostVariable+"="+string(config))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // its end is the host's
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &hostProcess{t: t, cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	return p
}

// ready waits for all workers, and gives their processes.
func (p *hostProcess) ready() map[host.WorkerID]host.Process {
	p.t.Helper()
	all := map[host.WorkerID]host.Process{}
	for p.lines.Scan() {
		fields := strings.Fields(p.lines.Text())
		if fields[0] == "all" {
			return all
		}
		pid, err := strconv.Atoi(fields[2])
		if err != nil {
			p.t.Fatal(err)
		}
		start, err := strconv.ParseUint(fields[3], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		all[host.WorkerID(fields[1])] = host.Process{PID: pid, StartTime: start}
	}
	p.t.Fatal("the host ended early")
	return nil
}

// kill is SIGKILL. It may be called again.
func (p *hostProcess) kill() {
	_ = p.cmd.Process.Kill() // it may be dead
	_ = p.cmd.Wait()         // it was killed
}

// died waits until the host has killed itself.
func (p *hostProcess) died() {
	p.t.Helper()
	for p.lines.Scan() {
		p.t.Logf("the host said %q", p.lines.Text())
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:errcheck,forcetypeassert // on Linux it is
		p.t.Fatalf("the host ended with %v, want a SIGKILL of its own", err)
	}
}

// comeBack is a later host, in this process, for the length of a test.
func (h testHost) comeBack(t *testing.T) (*Launcher, *logLines) {
	t.Helper()
	lines := newLogLines()
	l, records, err := h.launcher(hclog.New(&hclog.LoggerOptions{Output: lines, Level: hclog.Debug}))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	runUntilCleanup(t, l, records)
	return l, lines
}

// runUntilCleanup runs a launcher; at the end its ledger must be empty.
func runUntilCleanup(t *testing.T, l *Launcher, records *ledger.Ledger) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		left, err := records.Records()
		if err != nil || len(left) > 0 {
			t.Errorf("records are left: %v %v", left, err)
		}
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
}

// toolless is a host without tools.
type toolless struct{}

func (toolless) ServeTool(_ context.Context, _ host.WorkerID, inv host.Invocation) ([]byte, error) {
	return nil, errdefs.New(errdefs.ToolNotFound, "no tool %s", inv.Tool)
}

func callTool(ctx context.Context, w host.Worker, tool string) (any, error) {
	run, err := w.Start(ctx, host.Invocation{ID: "c", Tool: tool, Payload: []byte("\x80")}) // msgpack for no arguments
	if err != nil {
		return nil, err
	}
	m, err := run.Recv(ctx)
	if err != nil {
		return nil, err
	}
	var v any
	return v, msgpack.Unmarshal(m.Payload, &v)
}

func mustCall(t *testing.T, w host.Worker, tool string, want string) {
	t.Helper()
	got, err := callTool(t.Context(), w, tool)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	if fmt.Sprint(got) != want {
		t.Errorf("%s gives %v, want %s", tool, got, want)
	}
}

// logLines is what a logger wrote.
type logLines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newLogLines() *logLines { return &logLines{changed: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logLines) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(l.String(), want) {
		select {
		case <-l.changed:
		case <-deadline:
			t.Fatalf("no %q in the log:\n%s", want, l)
		}
	}
}

// isAlive reports whether this very process lives.
func isAlive(p host.Process) bool {
	now, err := proc.Read(p.PID)
	return err == nil && now.Start == p.StartTime && !now.Dead()
}

// awaitGone waits for the end of a process, and says how long that took.
func awaitGone(t *testing.T, p host.Process) time.Duration {
	t.Helper()
	begun := time.Now()
	pinned, err := proc.Pin(proc.ID{PID: p.PID, Start: p.StartTime})
	if err != nil {
		return 0
	}
	defer pinned.Close()
	if !pinned.Exited(patience) {
		t.Fatalf("process %d lives on", p.PID)
	}
	return time.Since(begun)
}

func awaitFact(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !fact(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
		<-time.After(time.Millisecond) // the processes need the CPU more
	}
}
