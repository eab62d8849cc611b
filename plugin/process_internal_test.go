//go:build unix

package plugin

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// patience is far above what anything here takes; it only ends a test that hangs.
const patience = 20 * time.Second

// onEachNursery runs a test with workers forked by this system's nursery, and by this
// process itself, as where there is no shim.
func onEachNursery(t *testing.T, test func(t *testing.T, l *Launcher)) {
	t.Helper()
	for name, choose := range map[string]func(*Launcher){
		"own":    func(*Launcher) {},
		"direct": func(l *Launcher) { l.nursery = newDirect(&l.wg) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			l := NewLauncher(Config{Dir: dir, Host: "test"})
			choose(l)
			test(t, l)
		})
	}
}

// runLauncher runs a launcher for the length of a test.
func runLauncher(t *testing.T, l *Launcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// shell starts a script as a worker's process.
func shell(t *testing.T, l *Launcher, script string) *process {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	isolate(cmd)
	p := newProcess(host.WorkerID("test-"+randomHex(4)), cmd, &workerLog{logger: hclog.NewNullLogger()}, l)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func awaitExited(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatal("the process isn't reaped")
	}
}

func TestExitsAreToldWithTheLastLines(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		p := shell(t, l, "echo one >&2; echo two >&2; exit 3")
		awaitExited(t, p)
		if p.exit.Code != 3 || p.exit.Signal != "" || strings.Join(p.exit.Stderr, " ") != "one two" {
			t.Errorf("exit = %+v, want code 3 and the lines one, two", p.exit)
		}
		p = shell(t, l, "kill -SEGV $$")
		awaitExited(t, p)
		if p.exit.Signal != "SIGSEGV" || p.exit.Code != -1 {
			t.Errorf("exit = %+v, want SIGSEGV", p.exit)
		}
	})
}

func TestTheGroupOfADeadWorkerIsSwept(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		p := shell(t, l, `sh -c 'trap "" TERM; echo $$ >&2; while :; do sleep 1; done' & read line; wait`)
		for len(p.log.last()) == 0 { // the child says its pid
			if isClosed(p.exited) {
				t.Fatal("the worker ended early")
			}
		}
		child, err := strconv.Atoi(p.log.last()[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(p.identity().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitExited(t, p)
		deadline := time.Now().Add(patience)
		for alive(child) {
			if time.Now().After(deadline) {
				t.Fatalf("child %d outlives its worker", child)
			}
		}
	})
}

// alive reports whether a process runs; a zombie doesn't.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH)
	}
	state := string(stat[strings.LastIndexByte(string(stat), ')')+2])
	return state != "Z" && state != "X"
}

func TestAGrandchildThatHoldsStderrDoesNotHoldTheReaping(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		if _, err := exec.LookPath("setsid"); err != nil {
			t.Fatal("this test needs setsid, from util-linux")
		}
		runLauncher(t, l)
		p := shell(t, l, `up=$(mktemp -u); setsid sh -c 'echo $$ >&2; touch "$0"; exec sleep 30' "$up" & while [ ! -e "$up" ]; do :; done; rm "$up"; exit 0`)
		awaitExited(t, p)
		escaped, err := strconv.Atoi(p.exit.Stderr[0])
		if err != nil {
			t.Fatal(err)
		}
		_, direct := l.nursery.(*direct)
		if direct != alive(escaped) {
			t.Errorf("forked directly: %v; the grandchild lives: %v", direct, alive(escaped))
		}
		if direct { // nobody else ends it; it's ours: the script named it
			if err := syscall.Kill(escaped, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestNoiseBeforeAndAfterTheHandshakeIsDropped(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		p := shell(t, l, `echo hello; head -c 200000 /dev/zero | tr '\0' x; echo; echo '1|1|unix|/x|grpc'; echo '1|1|unix|/y|grpc'; echo bye`)
		sc := bufio.NewScanner(p.Stdout())
		var got []string
		for sc.Scan() {
			got = append(got, sc.Text())
		}
		if len(got) != 1 || got[0] != "1|1|unix|/x|grpc" {
			t.Errorf("go-plugin sees %q, want the first handshake alone", got)
		}
		awaitExited(t, p)
	})
}

// TestAHandshakeThatNobodyReadsHoldsNothingUp: go-plugin doesn't read that of a start
// which failed early.
func TestAHandshakeThatNobodyReadsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l) // whose end waits for whoever passes the handshake on
		p := shell(t, l, `echo '1|1|unix|/x|grpc'; echo more >&2`)
		awaitExited(t, p)
		if said := strings.Join(p.exit.Stderr, " "); said != "more" {
			t.Errorf("standard error is %q, want what came after the handshake", said)
		}
	})
}

func TestAWorkerThatHasShakenHandsDoesNotDoItAgain(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		cmd := exec.Command("/bin/sh", "-c", `echo '1|1|unix|/elsewhere|grpc'; echo '1|9|unix|/x|grpc'`)
		isolate(cmd)
		p := newProcess("test", cmd, &workerLog{logger: hclog.NewNullLogger()}, l)
		p.shook = &handshake{core: 1, app: 1, network: "unix", addr: "/here"} // an earlier host's
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitExited(t, p)
		if p.shook.addr != "/here" || p.refused() != nil {
			t.Errorf("it's at %q now (%v), want /here", p.shook.addr, p.refused())
		}
	})
}

func TestAWrongProtocolVersionEndsTheWorker(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		p := shell(t, l, `echo '1|7|unix|/x|grpc'; sleep 30`)
		awaitExited(t, p)
		if got := errdefs.ReasonOf(p.bad); got != errdefs.VersionMismatch {
			t.Errorf("refused with %v, want version_mismatch", p.bad)
		}
	})
}

func TestRunKillsWhatNobodyStopped(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		p := shell(t, l, "trap '' TERM; while :; do sleep 1; done")
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("Run doesn't end")
		}
		if !isClosed(p.exited) {
			t.Error("Run has ended, and the process isn't reaped")
		}
		err := newProcess("test", exec.Command("/bin/true"), &workerLog{logger: hclog.NewNullLogger()}, l).Start(t.Context())
		if got := errdefs.ReasonOf(err); got != errdefs.Draining {
			t.Errorf("a start after the end gives %v, want draining", err)
		}
	})
}

func TestAMissingExecutableIsAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		runLauncher(t, l)
		p := newProcess("test", exec.Command("/nowhere/python3"), &workerLog{logger: hclog.NewNullLogger()}, l)
		if err := p.Start(t.Context()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Start = %v, want that there is no such file", err)
		}
		if p.ID() != "" {
			t.Errorf("ID = %q for a process that never was", p.ID())
		}
	})
}
