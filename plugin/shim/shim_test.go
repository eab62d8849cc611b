//go:build linux

package shim_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// patience is far above what anything here takes; it only ends a test that hangs.
const patience = 20 * time.Second

// pair is a guard and a shim, and what their workers print.
type pair struct {
	*shim.Client

	dir   string
	guard int
	ran   chan error
	wait  func() error
}

func config(t *testing.T) shim.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp-shim-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	errors, err := os.Create(filepath.Join(dir, "errors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		said, err := os.ReadFile(errors.Name())
		if err != nil || len(said) > 0 {
			t.Logf("guard and shim said (%v):\n%s", err, said)
		}
		errors.Close()
	})
	return shim.Config{Dir: dir, Instance: "test", Errors: errors, Settings: shim.Settings{StopAfter: patience}}
}

// start starts a pair and ends it with the test.
func start(t *testing.T, cfg shim.Config) *pair {
	t.Helper()
	c, wait, err := shim.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := run(c, cfg.Dir)
	p.wait, p.guard = wait, guardOf(t, cfg.Dir)
	t.Cleanup(func() {
		_ = p.End() // it may have ended
		<-p.ran
		if err := wait(); err != nil && !strings.Contains(err.Error(), "killed") {
			t.Errorf("the guard: %v", err)
		}
	})
	return p
}

func run(c *shim.Client, dir string) *pair {
	p := &pair{Client: c, dir: dir, ran: make(chan error, 2)}
	go func() {
		err := c.Run()
		p.ran <- err
		p.ran <- err
	}()
	return p
}

// guardOf finds the guard by its command line.
func guardOf(t *testing.T, dir string) int {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if strings.HasPrefix(proc.CommandLine(s.PID), "snakepit-guard "+dir) {
			return s.PID
		}
	}
	t.Fatal("no guard")
	return 0
}

// shimPID is the shim's pid in our namespace: the guard's one child.
func (p *pair) shimPID(t *testing.T) int {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.PPID == p.guard {
			return s.PID
		}
	}
	t.Fatal("no shim")
	return 0
}

// sink remembers what it's told.
type sink struct {
	mu      sync.Mutex
	printed strings.Builder
	news    []string
	changed chan struct{}
	exit    shim.Exit
	exited  chan struct{}
}

func newSink() *sink { return &sink{changed: make(chan struct{}, 1), exited: make(chan struct{})} }

func (s *sink) note(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *sink) Printed(_ byte, data []byte) { s.note(func() { s.printed.Write(data) }) }
func (s *sink) Stopped(on bool) {
	s.note(func() { s.news = append(s.news, "stopped "+strconv.FormatBool(on)) })
}

func (s *sink) Frozen(on bool) {
	s.note(func() { s.news = append(s.news, "frozen "+strconv.FormatBool(on)) })
}

func (s *sink) Exited(e shim.Exit) {
	s.exit = e
	close(s.exited)
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.printed.String() + strings.Join(s.news, "\n")
}

// await waits until what was printed or told holds a text.
func (s *sink) await(t *testing.T, want string) string {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(s.text(), want) {
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("no %q in %q", want, s.text())
		}
	}
	return s.text()
}

func (s *sink) awaitExit(t *testing.T) unix.WaitStatus {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("the worker doesn't end")
	}
	return unix.WaitStatus(s.exit.Status)
}

// shell starts a script as a worker.
func (p *pair) shell(t *testing.T, worker, script string) (*shim.Child, *sink) {
	t.Helper()
	out := newSink()
	ch, err := p.Spawn(shim.Spawn{
		Worker: worker, Token: "token-" + worker, Path: "/bin/sh", Args: []string{"sh", "-c", script},
		Env: []string{"PATH=/usr/bin:/bin", "SNAKEPIT_WORKER_TOKEN=token-" + worker}, Dir: p.dir,
		Log: filepath.Join(p.dir, worker+".log"),
	}, out)
	if err != nil {
		t.Fatal(err)
	}
	return ch, out
}

// pidFrom reads the number behind a word in what a worker printed.
func pidFrom(t *testing.T, text, word string) proc.ID {
	t.Helper()
	_, after, _ := strings.Cut(text, word+" ")
	number, _, _ := strings.Cut(after, "\n")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no pid behind %q in %q", word, text)
	}
	id, err := proc.Identify(pid)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	return id
}

func alive(id proc.ID) bool {
	s, err := proc.Read(id.PID)
	return err == nil && s.ID == id && !s.Dead()
}

// awaitGone waits for the end of processes, and says how long that took.
func awaitGone(t *testing.T, ids ...proc.ID) time.Duration {
	t.Helper()
	begun := time.Now()
	for _, id := range ids {
		for alive(id) {
			if time.Since(begun) > patience {
				t.Fatalf("process %d is still alive: %s", id.PID, proc.CommandLine(id.PID))
			}
		}
	}
	return time.Since(begun)
}

func TestWorkersPrintAndExit(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, out := p.shell(t, "w1", "echo hello; echo oops >&2; exit 3")
	status := out.awaitExit(t)
	if status.ExitStatus() != 3 || !strings.Contains(out.text(), "hello") || !strings.Contains(out.text(), "oops") {
		t.Errorf("exit %d after %q", status.ExitStatus(), out.text())
	}
	log, err := os.ReadFile(filepath.Join(p.dir, "w1.log"))
	if err != nil || string(log) != "oops\n" {
		t.Errorf("log = %q, %v", log, err)
	}
	_, out = p.shell(t, "w2", "kill -SEGV $$")
	if status := out.awaitExit(t); status.Signal() != unix.SIGSEGV {
		t.Errorf("status = %#x, want SIGSEGV", uint32(status))
	}
}

func TestACommandThatIsNotThereIsTheSystemsError(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, err := p.Spawn(shim.Spawn{Worker: "w", Path: "/nowhere/python", Args: []string{"python"}, Dir: "/"}, newSink())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Spawn = %v, want that there is no such file", err)
	}
}

func TestNothingIsLeftOfADeadWorker(t *testing.T) {
	t.Parallel()
	for _, cgroups := range []bool{false, true} {
		t.Run("cgroups "+strconv.FormatBool(cgroups), func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Cgroups = cgroups
			p := start(t, cfg)
			ch, out := p.shell(t, "w", `setsid setsid sh -c 'trap "" TERM; echo child $$ >&2; while :; do sleep 60; done' & echo main $$; while :; do sleep 60; done`)
			child := pidFrom(t, out.await(t, "child "), "child")
			main := ch.ID()
			if err := unix.Kill(main.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			out.awaitExit(t)
			t.Logf("exit told after %s", time.Since(begun))
			bounded(t, "the child is gone", awaitGone(t, child), 10*time.Millisecond)
		})
	}
}

func TestEveryDeathLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(t *testing.T, p *pair){
		"shim":  func(t *testing.T, p *pair) { t.Helper(); sigkill(t, p.shimPID(t)) },
		"guard": func(t *testing.T, p *pair) { t.Helper(); sigkill(t, p.guard) },
		"host":  func(t *testing.T, p *pair) { t.Helper(); _ = p.Detach(0) },
		"end":   func(t *testing.T, p *pair) { t.Helper(); _ = p.End() },
	} {
		for _, isolated := range []bool{false, true} {
			t.Run(name+", isolated "+strconv.FormatBool(isolated), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				cfg.Isolated = isolated
				p := start(t, cfg)
				shimID := identify(t, p.shimPID(t))
				ch, out := p.shell(t, "w", `setsid setsid sh -c 'trap "" TERM; echo child $$ >&2; while :; do sleep 60; done' & while :; do sleep 60; done`)
				out.await(t, "child ")
				below := descendants(t, shimID.PID)
				if len(below) < 2 || ch.ID().PID == 0 {
					t.Fatalf("%d processes below the shim, worker %v", len(below), ch.ID())
				}
				kill(t, p)
				took := awaitGone(t, append(below, shimID)...)
				t.Logf("all gone after %s", took)
				<-p.ran
				<-p.Done()
			})
		}
	}
}

func sigkill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func identify(t *testing.T, pid int) proc.ID {
	t.Helper()
	id, err := proc.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func descendants(t *testing.T, pid int) []proc.ID {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var ids []proc.ID
	for _, s := range proc.Below(pid, all) {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestAnotherHostGoesOnWithTheWorkers(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	ch, out := p.shell(t, "w", `trap 'echo got it >&2' USR1; echo up; while :; do sleep 0.01; done`)
	out.await(t, "up")
	if err := ch.SetNote("remember me"); err != nil {
		t.Fatal(err)
	}
	if _, err := shim.Attach(p.Socket(), cfg.Instance, cfg.Settings); !errors.As(err, new(*shim.AttachedError)) {
		t.Errorf("Attach beside a live host = %v, want AttachedError", err)
	}
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ran; err != nil {
		t.Errorf("Run = %v after Detach", err)
	}
	if _, err := shim.Attach(p.Socket(), "another", cfg.Settings); err == nil {
		t.Error("a host of another instance was let in")
	}
	c, err := shim.Attach(p.Socket(), cfg.Instance, cfg.Settings)
	if err != nil {
		t.Fatal(err)
	}
	next := run(c, cfg.Dir)
	left := c.Survivors()
	if len(left) != 1 || left[0].Worker() != "w" || left[0].Token() != "token-w" || left[0].Note() != "remember me" || left[0].ID() != ch.ID() {
		t.Fatalf("survivors %v, want the one", left)
	}
	again := newSink()
	left[0].Adopt(again)
	left[0].Signal(syscall.SIGUSR1)
	again.await(t, "got it")
	left[0].Kill()
	if status := again.awaitExit(t); status.Signal() != unix.SIGKILL {
		t.Errorf("status %#x, want SIGKILL", uint32(status))
	}
	_ = c.End()
	<-next.ran
}

func TestOnlyASocketMakesAGuard(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^$")
	cmd.Args[0] = "snakepit-guard"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("a program of the guard's name: %v, %s", err, out)
	}
}

func TestTheShimIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory isn't the shim's")
	}
	p := start(t, config(t))
	for i := range 20 {
		_, out := p.shell(t, "w"+strconv.Itoa(i), "echo up; while :; do sleep 60; done")
		out.await(t, "up")
	}
	for name, pid := range map[string]int{"guard": p.guard, "shim": p.shimPID(t)} {
		kib := privateDirty(t, pid)
		t.Logf("%s: %d KiB of private dirty memory", name, kib)
		if kib > 15<<10 {
			t.Errorf("the %s has %d KiB of private dirty memory", name, kib)
		}
	}
}

func privateDirty(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "Private_Dirty:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestTheLastWordsOfADeadWorkerAreReadInAHurry(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	for i := range 20 { // a pipe full, and then the end: some of it is still there when the leader is reaped
		_, out := p.shell(t, "w"+strconv.Itoa(i), "head -c 60000 /dev/zero | tr '\\0' x >&2; echo the end >&2; kill -KILL $$")
		out.awaitExit(t)
		if !strings.HasSuffix(out.text(), "the end\n") {
			t.Fatalf("the last words are missing behind %d bytes", len(out.text()))
		}
	}
}
