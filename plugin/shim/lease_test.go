//go:build linux

package shim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// ticker writes its pid and the time to a file every millisecond. So does a grandchild
// that has left its session, and a child with a group of its own.
const ticker = `
import os, sys, time

def tick(name):
    f = os.open(name, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    while True:
        os.write(f, b"%d %d\n" % (os.getpid(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
        time.sleep(0.001)

name = sys.argv[1]
if os.fork() == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    tick(name + ".grandchild")
os.wait()
if os.fork() == 0:
    os.setpgid(0, 0)
    tick(name + ".group")
print("up", flush=True)
tick(name + ".main")
`

// frozenWithin is the stated time from a lease's end to the last thing that a marked worker does.
const frozenWithin = 100 * time.Millisecond

// tickingSpawn starts a ticker, to be found under its worker's name.
func tickingSpawn(dir, worker string) shim.Spawn {
	return shim.Spawn{
		Worker: worker, Token: "token-" + worker, Path: "/usr/bin/env",
		Args: []string{"env", "python3", "-c", ticker, filepath.Join(dir, worker)},
		Env:  []string{"PATH=" + os.Getenv("PATH"), "SNAKEPIT_WORKER_TOKEN=token-" + worker}, Dir: dir,
	}
}

// ticks are what the processes of a ticker have written.
type ticks map[string]struct {
	id    int
	count int
	last  int64
}

func readTicks(t *testing.T, dir, worker string) ticks {
	t.Helper()
	out := ticks{}
	for _, who := range []string{"main", "grandchild", "group"} {
		b, err := os.ReadFile(filepath.Join(dir, worker+"."+who))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		tk := out[who]
		if n := strings.Count(string(b), "\n"); n > 0 {
			tk.count = n
			if _, err := fmt.Sscan(lines[n-1], &tk.id, &tk.last); err != nil {
				t.Fatalf("%s: %v", lines[n-1], err)
			}
		}
		out[who] = tk
	}
	return out
}

// awaitTicks waits until each process of a ticker has written so many more times.
func awaitTicks(t *testing.T, dir, worker string, more int) ticks {
	t.Helper()
	before := readTicks(t, dir, worker)
	var now ticks
	until(t, worker+" ticks", func() bool {
		now = readTicks(t, dir, worker)
		for who, tk := range now {
			if tk.count < before[who].count+more {
				return false
			}
		}
		return true
	})
	return now
}

func (a ticks) same(b ticks) bool {
	for who := range a {
		if a[who] != b[who] {
			return false
		}
	}
	return true
}

// checkFrozen makes sure that a worker has written nothing since its freezing while
// another one went on, and that its last tick came in time.
func checkFrozen(t *testing.T, dir string, deadline int64) {
	t.Helper()
	before := readTicks(t, dir, "marked")
	awaitTicks(t, dir, "free", 100)
	if now := readTicks(t, dir, "marked"); !before.same(now) {
		t.Errorf("the frozen worker wrote: %+v, then %+v", before, now)
	}
	for who, tk := range before {
		bounded(t, "the last tick of "+who+" came", time.Duration(tk.last-deadline), frozenWithin)
	}
}

// checkThawed makes sure that all of the worker goes on, and is who it was.
func checkThawed(t *testing.T, dir string, before ticks) {
	t.Helper()
	now := awaitTicks(t, dir, "marked", 5)
	for who := range before {
		if now[who].id != before[who].id {
			t.Errorf("%s is process %d, and was %d", who, now[who].id, before[who].id)
		}
	}
}

// within sets a lease that ends soon.
func within(d time.Duration) int64 { return shim.Boottime() + d.Nanoseconds() }

func TestTheLeasesEndFreezesWhoeverIsMarked(t *testing.T) {
	t.Parallel()
	for _, cgroups := range []bool{false, true} {
		for _, host := range []string{"alive", "stopped", "dead"} {
			t.Run(host+" host, cgroups "+strconv.FormatBool(cgroups), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				cfg.Cgroups, cfg.Grace = cgroups, patience
				h := startHost(t, cfg)
				for _, w := range []string{"marked", "free"} {
					spawn := tickingSpawn(cfg.Dir, w)
					h.tell(t, order{Spawn: &spawn})
					awaitTicks(t, cfg.Dir, w, 3)
				}
				h.tell(t, order{Enter: "marked"})
				deadline := within(100 * time.Millisecond)
				h.tell(t, order{Deadline: &deadline})
				h.tell(t, order{Spawn: &shim.Spawn{Worker: "next", Path: "/bin/true", Args: []string{"true"}, Dir: "/"}}) // the shim has read the lease by now
				switch host {
				case "stopped":
					h.signal(t, unix.SIGSTOP)
				case "dead":
					h.signal(t, unix.SIGKILL)
				}
				awaitStill(t, cfg.Dir, deadline)
				checkFrozen(t, cfg.Dir, deadline)
				before := readTicks(t, cfg.Dir, "marked")
				forever := int64(0)
				switch host {
				case "stopped":
					h.signal(t, unix.SIGCONT)
					fallthrough
				case "alive":
					h.await(t, "frozen true")
					h.tell(t, order{Deadline: &forever})
					h.await(t, "frozen false")
				case "dead":
					next := attach(t, h.socket, cfg)
					defer next.finish(t)
				}
				checkThawed(t, cfg.Dir, before)
			})
		}
	}
}

// awaitStill waits until the marked worker's tree has written nothing for a while after the deadline.
func awaitStill(t *testing.T, dir string, deadline int64) {
	t.Helper()
	until(t, "the lease has ended", func() bool { return shim.Boottime() > deadline })
	until(t, "the marked worker is still", func() bool {
		before := readTicks(t, dir, "marked")
		awaitTicks(t, dir, "free", 20)
		return before.same(readTicks(t, dir, "marked"))
	})
}

// attach connects to a pair whose host is gone.
func attach(t *testing.T, socket string, cfg shim.Config) *pair {
	t.Helper()
	c, err := shim.Attach(socket, cfg.Instance, cfg.Settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.End() }) // most have
	return run(c, cfg.Dir)
}

// finish ends a pair and waits for that.
func (p *pair) finish(t *testing.T) {
	t.Helper()
	if err := p.End(); err != nil {
		t.Error(err)
	}
	if err := <-p.ran; err != nil {
		t.Errorf("Run = %v after End", err)
	}
}

// ticking starts a ticker under the name of marked and waits until all of it ticks.
func (p *pair) ticking(t *testing.T) (*shim.Child, *sink) {
	t.Helper()
	out := newSink()
	ch, err := p.Spawn(tickingSpawn(p.dir, "marked"), out)
	if err != nil {
		t.Fatal(err)
	}
	awaitTicks(t, p.dir, "marked", 3)
	return ch, out
}

// freeze marks a worker and lets the lease end.
func (p *pair) freeze(t *testing.T, ch *shim.Child, out *sink) {
	t.Helper()
	if !ch.Mark().Enter() {
		t.Fatal("the worker is closed")
	}
	if err := p.SetLease(1); err != nil {
		t.Fatal(err)
	}
	out.await(t, "frozen true")
}

func TestAFrozenWorkerIsKilledFromItsLeavesUp(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(p *pair, ch *shim.Child){
		"by the host":    func(_ *pair, ch *shim.Child) { ch.Kill() },
		"by a signal":    func(_ *pair, ch *shim.Child) { ch.Signal(unix.SIGKILL) },
		"at stop_after":  func(*pair, *shim.Child) {},
		"at the end":     func(p *pair, _ *shim.Child) { _ = p.End() },
		"at detach":      func(p *pair, _ *shim.Child) { _ = p.Detach(0) },
		"with the guard": func(p *pair, _ *shim.Child) { _ = unix.Kill(p.guard, unix.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			if name == "at stop_after" {
				cfg.StopAfter = 200 * time.Millisecond
			}
			p := start(t, cfg)
			shimID := identify(t, p.shimPID(t))
			ch, out := p.ticking(t)
			p.freeze(t, ch, out)
			begun := time.Now()
			before := readTicks(t, p.dir, "marked")
			all := descendants(t, shimID.PID)
			if len(all) < 3 {
				t.Fatalf("%d processes", len(all))
			}
			kill(p, ch)
			awaitGone(t, all...)
			bounded(t, "killed", max(time.Since(begun)-cfg.StopAfter%patience, 0), 50*time.Millisecond)
			if now := readTicks(t, p.dir, "marked"); !before.same(now) {
				t.Errorf("it ran on: %+v, then %+v", before, now)
			}
			if name == "at stop_after" {
				if status := out.awaitExit(t); status.Signal() != unix.SIGKILL || out.exit.OOM || out.exit.Lost {
					t.Errorf("exit %+v", out.exit)
				}
			}
		})
	}
}

func TestWhoWasStoppedBeforeStaysStopped(t *testing.T) {
	t.Parallel()
	for _, cgroups := range []bool{false, true} {
		t.Run("cgroups "+strconv.FormatBool(cgroups), func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Cgroups = cgroups
			p := start(t, cfg)
			ch, out := p.ticking(t)
			grandchild := identify(t, readTicks(t, p.dir, "marked")["grandchild"].id)
			for _, id := range []proc.ID{ch.ID(), grandchild} {
				if !proc.Signal(id, unix.SIGSTOP) {
					t.Fatal("it's gone")
				}
				until(t, "it stops", func() bool { return stopped(id) })
			}
			out.await(t, "stopped true")
			p.freeze(t, ch, out)
			if err := p.SetLease(0); err != nil {
				t.Fatal(err)
			}
			out.await(t, "frozen false")
			before := readTicks(t, p.dir, "marked")
			until(t, "the third goes on", func() bool {
				return readTicks(t, p.dir, "marked")["group"].count > before["group"].count+20
			})
			if now := readTicks(t, p.dir, "marked"); now["main"] != before["main"] || now["grandchild"] != before["grandchild"] {
				t.Errorf("thawing woke who was stopped: %+v, then %+v", before, now)
			}
			proc.Signal(grandchild, unix.SIGCONT)
			ch.Signal(unix.SIGCONT)
			out.await(t, "stopped false")
			checkThawed(t, p.dir, before)
			ch.Mark().Leave()
		})
	}
}

func stopped(id proc.ID) bool {
	s, err := proc.Read(id.PID)
	return err == nil && s.ID == id && s.Stopped()
}

func TestNobodyElseWakesAFrozenWorker(t *testing.T) {
	t.Parallel()
	p := start(t, config(t)) // with SIGSTOP: a cgroup minds no signal
	ch, out := p.ticking(t)
	p.freeze(t, ch, out)
	for range 20 {
		before := readTicks(t, p.dir, "marked")["main"].count
		if !proc.Signal(ch.ID(), unix.SIGCONT) {
			t.Fatal("it's gone")
		}
		bounded(t, "stopped again", until(t, "it's stopped again", func() bool { return stopped(ch.ID()) }), 50*time.Millisecond)
		if now := readTicks(t, p.dir, "marked")["main"].count; now > before+100 {
			t.Errorf("it ticked %d times", now-before)
		}
	}
	before := readTicks(t, p.dir, "marked")
	ch.Signal(unix.SIGCONT) // through the shim it waits for the thawing
	if err := p.SetLease(0); err != nil {
		t.Fatal(err)
	}
	checkThawed(t, p.dir, before)
}

func TestAWorkerThatStartsAfterTheLeaseIsClosed(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	if err := p.SetLease(1); err != nil {
		t.Fatal(err)
	}
	ch, _ := p.shell(t, "w", "while :; do sleep 60; done")
	if ch.Mark().Enter() {
		t.Error("a call went to a worker whose lease has ended")
	}
	if err := p.SetLease(within(time.Hour)); err != nil {
		t.Fatal(err)
	}
	until(t, "the renewal opens it", func() bool {
		return ch.Mark().Enter()
	})
	if err := p.SetLease(-1); err != nil { // long ago
		t.Fatal(err)
	}
	until(t, "it's closed", func() bool {
		in := ch.Mark().Enter()
		if in {
			ch.Mark().Leave()
		}
		return !in
	})
}

func TestAFrozenWorkerThatDiesIsGone(t *testing.T) {
	t.Parallel()
	for _, cgroups := range []bool{false, true} {
		t.Run("cgroups "+strconv.FormatBool(cgroups), func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Cgroups = cgroups
			p := start(t, cfg)
			ch, out := p.ticking(t)
			grandchild := identify(t, readTicks(t, p.dir, "marked")["grandchild"].id)
			p.freeze(t, ch, out)
			sigkill(t, ch.ID().PID)
			out.awaitExit(t)
			bounded(t, "the grandchild is gone", awaitGone(t, grandchild), 10*time.Millisecond)
		})
	}
}

func TestMarksTakenBackLateDontReachTheNextHost(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	ch, _ := p.ticking(t)
	old := ch.Mark()
	if !old.Enter() {
		t.Fatal("the worker is closed")
	}
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	<-p.ran
	next := attach(t, p.Socket(), cfg)
	survivor := next.Survivors()[0]
	out := newSink()
	survivor.Adopt(out)
	if !survivor.Mark().Enter() {
		t.Fatal("the worker is closed")
	}
	old.Leave()
	if old.Enter() {
		t.Error("the host that let go of it still sends calls")
	}
	if err := next.SetLease(1); err != nil {
		t.Fatal(err)
	}
	out.await(t, "frozen true")
	next.finish(t)
}

// A host that died in the middle of a session's call is followed by one that has no lease
// yet: the call's session may be somebody else's by now.
func TestWhatTheLastHostHadMarkedIsFrozenForOneWithoutALease(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	p := start(t, cfg)
	busy, _ := p.ticking(t)
	if !busy.Mark().Enter() {
		t.Fatal("the worker is closed")
	}
	idle, _ := p.shell(t, "idle", "while :; do sleep 60; done")
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	<-p.ran
	settings := cfg.Settings
	settings.Deadline = 1
	cfg.Settings = settings
	next := attach(t, p.Socket(), cfg)
	before := readTicks(t, p.dir, "marked")
	for _, ch := range next.Survivors() {
		out := newSink()
		frozen := ch.Frozen()
		ch.Adopt(out)
		if want := ch.ID() == busy.ID(); frozen != want {
			t.Errorf("%s was frozen when the next host came: %t, want %t", ch.Worker(), frozen, want)
		}
	}
	until(t, "it has stopped", func() bool { return stopped(busy.ID()) })
	if stopped(idle.ID()) {
		t.Error("the idle one has stopped")
	}
	if err := next.SetLease(0); err != nil {
		t.Fatal(err)
	}
	checkThawed(t, p.dir, before)
	next.finish(t)
}
