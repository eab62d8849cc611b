//go:build linux

package shim_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// escapes starts a process that has left its worker's session, whose parents have
// ended, that no SIGTERM ends, and that holds standard error.
const escapes = `setsid setsid sh -c 'trap "" TERM; echo child $$ >&2; while :; do sleep 60; done' & `

// clearedWithin is the stated time from the last death to the end of all that is left.
const clearedWithin = 100 * time.Millisecond

// escaping starts a worker of a host with a child that has escaped, and returns all
// that is below the shim.
func (h *hostProcess) escaping(t *testing.T) (worker proc.ID, rest []proc.ID) {
	t.Helper()
	a := h.tell(t, order{Spawn: &shim.Spawn{
		Worker: "w", Token: "token-w", Path: "/bin/sh", Args: []string{"sh", "-c", escapes + "while :; do sleep 60; done"},
		Env: []string{"PATH=/usr/bin:/bin", "SNAKEPIT_WORKER_TOKEN=token-w"}, Dir: h.cfg.Dir,
	}})
	h.await(t, "child ")
	worker = identify(t, a.PID)
	for _, id := range descendants(t, h.shim.PID) {
		if id != worker {
			rest = append(rest, id)
		}
	}
	return worker, rest
}

func TestSeveralDeathsAtOnceLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, victims := range map[string]func(h *hostProcess) []proc.ID{
		"host":           func(h *hostProcess) []proc.ID { return []proc.ID{h.id} },
		"host and shim":  func(h *hostProcess) []proc.ID { return []proc.ID{h.id, h.shim} },
		"shim and host":  func(h *hostProcess) []proc.ID { return []proc.ID{h.shim, h.id} },
		"host and guard": func(h *hostProcess) []proc.ID { return []proc.ID{h.id, h.guard} },
	} {
		for _, isolated := range []bool{false, true} {
			t.Run(name+", isolated "+strconv.FormatBool(isolated), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				cfg.Isolated, cfg.Cgroups = isolated, true
				h := startHost(t, cfg)
				worker, rest := h.escaping(t)
				folder := cgroupFolder(t, h.guard)
				for _, id := range victims(h) {
					proc.Kill(id)
				}
				begun := time.Now()
				awaitGone(t, append(rest, worker, h.shim)...)
				bounded(t, "all gone", time.Since(begun), clearedWithin)
				awaitGone(t, h.guard)
				if isolated && name == "host and guard" {
					return // the shim dies with its guard there: the next one removes the folder
				}
				if _, err := os.Stat(folder); folder != "" && !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", folder, err)
				}
			})
		}
	}
}

// cgroupFolder finds the folder of a pair's cgroups; empty where there are none.
func cgroupFolder(t *testing.T, guard proc.ID) string {
	t.Helper()
	end := "-" + strconv.Itoa(guard.PID) + "-" + strconv.FormatUint(guard.Start, 10)
	found := ""
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "snakepit-") && strings.HasSuffix(path, end) {
			found = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAllThreeKilledAtOnce(t *testing.T) {
	t.Parallel()
	for _, isolated := range []bool{false, true} {
		for _, cgroups := range []bool{false, true} {
			t.Run("isolated "+strconv.FormatBool(isolated)+", cgroups "+strconv.FormatBool(cgroups), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				cfg.Isolated, cfg.Cgroups = isolated, cgroups
				h := startHost(t, cfg)
				worker, rest := h.escaping(t)
				folder := cgroupFolder(t, h.guard)
				all := []proc.ID{h.guard, h.shim, h.id} // the guard first: it keeps the shim awake
				for _, id := range all {
					proc.Signal(id, unix.SIGSTOP)
					until(t, "it stops", func() bool { return stopped(id) })
				}
				begun := time.Now()
				for _, id := range all {
					proc.Kill(id)
				}
				awaitGone(t, append(all, worker)...)
				bounded(t, "the worker is gone", time.Since(begun), clearedWithin)
				if isolated {
					awaitGone(t, rest...)
					bounded(t, "all it started is gone", time.Since(begun), clearedWithin)
					return
				}
				if folder == "" && !slices.ContainsFunc(rest, alive) { // what DESIGN.md's limits say
					t.Error("what had escaped is gone, and nobody is there to kill it")
				}
				if folder == "" {
					for _, id := range rest {
						proc.Kill(id)
					}
					return
				}
				begun = time.Now()
				start(t, config(t)) // any next one
				awaitGone(t, rest...)
				bounded(t, "the next guard cleared what was left", time.Since(begun), clearedWithin)
				until(t, "the folder is gone", func() bool {
					_, err := os.Stat(folder)
					return os.IsNotExist(err)
				})
			})
		}
	}
}

func TestAStoppedGuardIsWokenByTheHost(t *testing.T) {
	t.Parallel()
	for _, isolated := range []bool{false, true} {
		t.Run("isolated "+strconv.FormatBool(isolated), func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Isolated = isolated
			p := start(t, cfg)
			guard, shimID := identify(t, p.guard), identify(t, p.shimPID(t))
			_, out := p.shell(t, "w", escapes+"while :; do sleep 60; done")
			out.await(t, "child ")
			below := descendants(t, shimID.PID)
			proc.Signal(guard, unix.SIGSTOP)
			until(t, "the guard stops", func() bool { return stopped(guard) })
			begun := time.Now()
			proc.Kill(shimID)
			awaitGone(t, below...)
			bounded(t, "all gone", time.Since(begun), clearedWithin)
			out.awaitExit(t)
			if !out.exit.Lost {
				t.Errorf("exit %+v, want Lost", out.exit)
			}
			if err := <-p.ran; err == nil {
				t.Error("Run says nothing of the shim's death")
			}
		})
	}
}

func TestAStoppedShimGoesOn(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	shimID := identify(t, p.shimPID(t))
	for i := range 20 {
		if !proc.Signal(shimID, unix.SIGSTOP) {
			t.Fatal("it's gone")
		}
		begun := time.Now()
		_, out := p.shell(t, "w"+strconv.Itoa(i), "exit 7")
		if status := out.awaitExit(t); status.ExitStatus() != 7 {
			t.Errorf("exit %d", status.ExitStatus())
		}
		if i == 0 {
			bounded(t, "a spawn and its exit were told", time.Since(begun), 50*time.Millisecond)
		}
	}
}

func TestNoSignalButSIGKILLEndsThePair(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	shimPID := p.shimPID(t)
	for _, sig := range []unix.Signal{
		unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGALRM, unix.SIGXFSZ, unix.SIGXCPU, unix.SIGPIPE, unix.SIGIO,
		unix.SIGTSTP, unix.SIGPWR,
	} {
		for _, pid := range []int{p.guard, shimPID} {
			if err := unix.Kill(pid, sig); err != nil {
				t.Fatalf("%v: %v", sig, err)
			}
		}
	}
	_, out := p.shell(t, "w", "exit 7")
	if status := out.awaitExit(t); status.ExitStatus() != 7 {
		t.Errorf("exit %d", status.ExitStatus())
	}
}

func TestACrashedHostsWorkersAreFound(t *testing.T) {
	t.Parallel()
	for _, isolated := range []bool{false, true} {
		t.Run("isolated "+strconv.FormatBool(isolated), func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Isolated, cfg.Grace = isolated, patience
			h := startHost(t, cfg)
			worker, rest := h.escaping(t)
			h.signal(t, unix.SIGKILL)
			awaitGone(t, h.id)
			next := attach(t, h.socket, cfg)
			left := next.Survivors()
			if len(left) != 1 || left[0].ID() != worker {
				t.Fatalf("survivors %v, want process %v", left, worker)
			}
			out := newSink()
			left[0].Adopt(out)
			left[0].Kill()
			out.awaitExit(t)
			awaitGone(t, rest...)
			next.finish(t)
		})
	}
}

func TestAProcessWhoseFirstThreadEndedIsKilledToo(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, out := p.shell(t, "w", `exec env python3 -c '
import ctypes, os, threading, time
if os.fork() == 0:
    os.setsid()
    def run():
        print("child", os.getpid(), flush=True)
        while True: time.sleep(60)
    threading.Thread(target=run).start()
    ctypes.CDLL(None).pthread_exit(None)
time.sleep(600)'`)
	child := pidFrom(t, out.await(t, "child "), "child")
	until(t, "its first thread has ended", func() bool {
		s, err := proc.Read(child.PID)
		return err == nil && s.State == 'Z' && !s.Dead()
	})
	if !alive(child) {
		t.Fatal("it's taken for dead")
	}
	worker := descendants(t, p.shimPID(t))[0]
	proc.Kill(worker)
	out.awaitExit(t)
	awaitGone(t, child)
	if out.exit.Left != 1 {
		t.Errorf("%d were left behind", out.exit.Left)
	}
}

func TestStopsOfOthersAreTold(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	// Not a shell: a child that is stopped between vfork and exec keeps it from stopping.
	ch, out := p.quick(t, "w", "/bin/sleep", "600")
	ch.Signal(unix.SIGSTOP)
	out.await(t, "stopped true")
	ch.Signal(unix.SIGCONT)
	out.await(t, "stopped false")
}

func TestWhatADeadWorkerPrintedComesBeforeItsEnd(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	for i := range 20 {
		_, out := p.shell(t, "w"+strconv.Itoa(i), `i=0; while [ $i -lt 200 ]; do echo line; echo line >&2; i=$((i+1)); done; echo last; echo last >&2; kill -KILL $$`)
		out.awaitExit(t)
		if n := strings.Count(out.text(), "last\n"); n != 2 || strings.Count(out.text(), "line\n") != 400 {
			t.Fatalf("%d last lines of 2 came before the exit", n)
		}
	}
}

func TestWhoHoldsStandardErrorDoesntHoldUpTheExit(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	ch, out := p.shell(t, "w", "echo up; while :; do sleep 60; done")
	out.await(t, "up")
	held, err := os.OpenFile( // we hold it ourselves: nobody kills us for it
		"/proc/"+strconv.Itoa(ch.ID().PID)+"/fd/2", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	begun := time.Now()
	ch.Kill()
	out.awaitExit(t)
	bounded(t, "the exit was told", time.Since(begun), 300*time.Millisecond)
}
