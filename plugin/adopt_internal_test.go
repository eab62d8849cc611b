//go:build linux

package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (h testHost) estate() Estate { return Estate{Dir: h.Dir, Instance: h.Instance} }

func everyone(host.WorkerID) bool { return true }

func only(id host.WorkerID) func(host.WorkerID) bool {
	return func(other host.WorkerID) bool { return other == id }
}

// deadHost is one that was killed, and its workers, which live. It has started more often
// than whoever adopts them.
func deadHost(t *testing.T, plan testHost) (testHost, map[host.WorkerID]host.Process) {
	t.Helper()
	h := newTestHost(t, plan.Command)
	if h.Fork, h.Freeze, h.Call = plan.Fork, plan.Freeze, plan.Call; len(plan.Workers) > 0 {
		h.Workers = plan.Workers
	}
	for range 5 {
		l, err := ledger.Open(h.ledgerPath(), ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p := h.start(t)
	all := p.ready()
	p.kill()
	for id, w := range all {
		if !isAlive(w) {
			t.Fatalf("%s died with its host", id)
		}
	}
	return h, all
}

// heirOf is another host, in this process, for the length of a test.
func heirOf(t *testing.T, dead testHost) (testHost, *Launcher) {
	t.Helper()
	h := newTestHost(t, dead.Command)
	h.Fork = dead.Fork
	l, _ := h.comeBack(t)
	return h, l
}

func mustAdopt(t *testing.T, l *Launcher, e Estate, keep func(host.WorkerID) bool) []host.Survivor {
	t.Helper()
	got, err := l.Adopt(t.Context(), e, keep)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// above are the pids of a process's ancestors.
func above(t *testing.T, pid int) []int {
	t.Helper()
	table, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for i := slices.IndexFunc(table, func(s proc.Stat) bool { return s.PID == pid }); i >= 0; {
		parent := table[i].PPID
		all = append(all, parent)
		i = slices.IndexFunc(table, func(s proc.Stat) bool { return s.PID == parent })
	}
	return all
}

// awaitNoPair waits until nobody keeps anything in a host's folder.
func (h testHost) awaitNoPair(t *testing.T) {
	t.Helper()
	awaitFact(t, "guard and shim are gone", func() bool { return !shim.InUse(h.Dir) })
}

func TestAnHeirGoesOnWithTheWorkersThatItKeeps(t *testing.T) {
	t.Parallel()
	for _, fork := range []bool{false, true} {
		t.Run(fmt.Sprintf("forked %t", fork), func(t *testing.T) {
			t.Parallel()
			x, before := deadHost(t, testHost{Command: countingCommand(t), Workers: workers(3), Fork: fork})
			h, l := heirOf(t, x)
			got := mustAdopt(t, l, x.estate(), func(id host.WorkerID) bool { return id != "default-02" })
			want := []host.Survivor{{Worker: "default-01", Pool: "default"}, {Worker: "default-03", Pool: "default"}}
			if !slices.Equal(got, want) || !slices.Equal(l.Survivors(), want) {
				t.Fatalf("adopted %+v, survivors %+v, want %+v", got, l.Survivors(), want)
			}
			if isAlive(before["default-02"]) {
				t.Error("a worker that isn't wanted lives")
			}
			h.wantRecords(t, l, 2)
			x.wantFolders(t, 2+btoi(fork)) // nobody knows which is its forkserver's
			if carriers := x.carriers(t); len(carriers) != 2 {
				t.Errorf("%+v carry a token of the dead host, want two workers", carriers)
			}
			w, err := l.Reattach(t.Context(), h.spec("default-01"), toolless{})
			if err != nil {
				t.Fatal(err)
			}
			mustCall(t, w, "remember", "2")
			own, err := l.Launch(t.Context(), h.spec("own-1"), toolless{})
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(above(t, own.Description().Process.PID), above(t, before["default-01"].PID)[0]) {
				t.Error("a new worker is below the dead host's shim")
			}
			l.Forsake("default-03")
			awaitGone(t, before["default-03"])
			if err := w.Stop(t.Context()); err != nil || isAlive(before["default-01"]) {
				t.Errorf("Stop: %v; alive: %t", err, isAlive(before["default-01"]))
			}
			awaitFact(t, "their folders are gone", func() bool { return x.folders(t) == btoi(fork) })
			awaitFact(t, "their records are gone", func() bool { return h.records(t, l) == 1+btoi(fork) }) // the own one and its forkserver
			mustCall(t, own, "remember", "1")
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (h testHost) folders(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(h.Dir, "????????????"))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func (testHost) records(t *testing.T, l *Launcher) int {
	t.Helper()
	all, err := l.cfg.Ledger.Records()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// tickingHere writes the time each millisecond, from the first call on.
func tickingHere(t *testing.T, dir string) host.Command {
	t.Helper()
	return commandOf(t, `
import os, threading, time
from snakepit import tool

def tick():
    with open(os.path.join(`+fmt.Sprintf("%q", dir)+`, os.environ["SNAKEPIT_WORKER_ID"]), "a") as f:
        while True:
            f.write(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n")
            f.flush()
            time.sleep(0.001)

@tool
def begin():
    threading.Thread(target=tick, daemon=True).start()
    while not os.path.exists(os.path.join(`+fmt.Sprintf("%q", dir)+`, os.environ["SNAKEPIT_WORKER_ID"])):
        pass
`)
}

func ticksOf(t *testing.T, dir string, id host.WorkerID) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, string(id)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// Both were frozen at the end of the dead host's lease. The one that isn't kept never
// runs again.
func TestAnHeirThawsWhatItKeepsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x, before := deadHost(t, testHost{Command: tickingHere(t, dir), Workers: workers(2), Call: "begin", Freeze: true})
	ticked := map[host.WorkerID]int{}
	for id := range before {
		ticked[id] = ticksOf(t, dir, id)
	}
	h, l := heirOf(t, x)
	if err := l.SetLease(shim.Boottime() + patience.Nanoseconds()); err != nil {
		t.Fatal(err)
	}
	got := mustAdopt(t, l, x.estate(), func(id host.WorkerID) bool {
		for id := range before {
			if now := ticksOf(t, dir, id); now != ticked[id] {
				t.Errorf("%s ticked %d times before it was decided on", id, now-ticked[id])
			}
		}
		return id == "default-01"
	})
	if len(got) != 1 || !got[0].Frozen {
		t.Fatalf("adopted %+v, want one that was frozen", got)
	}
	if isAlive(before["default-02"]) {
		t.Error("who isn't kept lives")
	}
	awaitFact(t, "who is kept goes on", func() bool { return ticksOf(t, dir, "default-01") > ticked["default-01"] })
	if now := ticksOf(t, dir, "default-02"); now != ticked["default-02"] {
		t.Errorf("who isn't kept ticked %d times more", now-ticked["default-02"])
	}
	if _, err := l.Reattach(t.Context(), h.spec("default-01"), toolless{}); err != nil {
		t.Fatal(err)
	}
}

func TestWorkersOfALiveHostAreNotAdopted(t *testing.T) {
	t.Parallel()
	x := newTestHost(t, countingCommand(t))
	p := x.start(t)
	worker := p.ready()["default-1"]
	h, l := heirOf(t, x)
	got, err := l.Adopt(t.Context(), x.estate(), everyone)
	if errdefs.ReasonOf(err) != errdefs.Exists || len(got) > 0 || len(l.Survivors()) > 0 {
		t.Errorf("%+v, %v; want exists", got, err)
	}
	if !isAlive(worker) {
		t.Error("the worker of a live host is dead")
	}
	h.wantRecords(t, l, 0)
	p.kill()
	mustAdopt(t, l, x.estate(), everyone)
	if _, err := heirAgain(t, x).Adopt(t.Context(), x.estate(), everyone); errdefs.ReasonOf(err) != errdefs.Exists {
		t.Errorf("a second heir: %v, want exists", err)
	}
	w, err := l.Reattach(t.Context(), h.spec("default-1"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, w, "remember", "2")
}

func heirAgain(t *testing.T, x testHost) *Launcher {
	t.Helper()
	_, l := heirOf(t, x)
	return l
}

func TestAnHeirThatWantsNobodyEndsAll(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t), Workers: workers(2)})
	h, l := heirOf(t, x)
	if got := mustAdopt(t, l, x.estate(), only("")); len(got) > 0 {
		t.Errorf("adopted %+v", got)
	}
	for id, w := range before {
		if isAlive(w) {
			t.Errorf("%s lives", id)
		}
	}
	h.wantRecords(t, l, 0)
	x.wantFolders(t, 0)
	if shim.InUse(x.Dir) {
		t.Error("its pair lives")
	}
	if got := mustAdopt(t, l, x.estate(), everyone); len(got) > 0 { // there's nobody any more
		t.Errorf("adopted %+v", got)
	}
}

//nolint:tparallel // the part of it is the length of a host's life
func TestAHostThatComesBackLeavesItsHeirAlone(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t), Workers: workers(2)})
	h, l := heirOf(t, x)
	mustAdopt(t, l, x.estate(), only("default-01"))
	w, err := l.Reattach(t.Context(), h.spec("default-01"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, w, "remember", "2")
	t.Run("back", func(t *testing.T) {
		back, lines := x.comeBack(t)
		lines.await(t, "which has adopted them")
		if got := back.Survivors(); len(got) > 0 {
			t.Errorf("survivors %+v, want none", got)
		}
		x.wantRecords(t, back, 0)
		x.wantFolders(t, 1)
		for range 2 { // the second time beside the first's worker
			own, err := back.Launch(t.Context(), x.spec(host.WorkerID("own-"+randomHex(4))), toolless{})
			if err != nil {
				t.Fatal(err)
			}
			mustCall(t, own, "remember", "1")
			if slices.Contains(above(t, own.Description().Process.PID), above(t, before["default-01"].PID)[0]) {
				t.Error("a new worker is below the heir's shim")
			}
		}
		Sweep(x.Instance, nil, false) // as another host of this user does
		SweepRecorded(h.Instance, nil, false)
	})
	if !shim.InUse(x.Dir) {
		t.Error("the heir's pair is gone")
	}
	mustCall(t, w, "remember", "3")
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitFact(t, "its folder is gone", func() bool { return x.folders(t) == 0 })
}

// heirProcess is an heir in a process of its own, that has all workers of a dead host.
func heirProcess(t *testing.T, x testHost, plan testHost) (testHost, *hostProcess) {
	t.Helper()
	h := newTestHost(t, x.Command)
	e := x.estate()
	h.Estate, h.Workers, h.Grace = &e, append(x.Workers, plan.Workers...), plan.Grace
	p := h.start(t)
	p.ready()
	return h, p
}

func TestWhatAnHeirHadEndsWithIt(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t)})
	h, p := heirProcess(t, x, testHost{})
	if !isAlive(before["default-1"]) {
		t.Fatal("the heir has none")
	}
	p.kill()
	awaitGone(t, before["default-1"])
	x.awaitNoPair(t)
	l, _ := h.comeBack(t)
	if got := l.Survivors(); len(got) > 0 {
		t.Errorf("survivors %+v", got)
	}
	h.wantRecords(t, l, 0)
	x.wantFolders(t, 0)
}

// The dead heir's grace isn't over when it comes back: it doesn't find them, and leaves them
// to whom they were first, or to the end of the grace.
func TestWhatADeadHeirHadIsItsFirstHostsAgain(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t)})
	h, p := heirProcess(t, x, testHost{Grace: patience, Workers: []host.WorkerID{"own-1"}})
	p.kill()
	l, _ := h.comeBack(t)
	if got := l.Survivors(); len(got) != 1 || got[0].Worker != "own-1" {
		t.Errorf("survivors %+v, want its own", got)
	}
	h.wantRecords(t, l, 1)
	l.Forsake("own-1")
	if !isAlive(before["default-1"]) {
		t.Fatal("what a live shim keeps was ended")
	}
	back, _ := x.comeBack(t)
	mustCall(t, reattach(t, back, x), "remember", "3")
}

func TestAnHeirsEndIsThatOfWhatItAdopted(t *testing.T) {
	t.Parallel()
	for name, claim := range map[string]bool{"with a host.Worker": true, "nobody has asked for it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, before := deadHost(t, testHost{Command: countingCommand(t)})
			t.Run("heir", func(t *testing.T) {
				h, l := heirOf(t, x)
				mustAdopt(t, l, x.estate(), everyone)
				if claim {
					reattach(t, l, h)
				}
			})
			if isAlive(before["default-1"]) || shim.InUse(x.Dir) {
				t.Errorf("the worker lives: %t; its pair: %t", isAlive(before["default-1"]), shim.InUse(x.Dir))
			}
			x.wantFolders(t, 0)
		})
	}
}

func TestAnHeirThatLeavesEndsWhatItAdopted(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t)})
	h := newTestHost(t, x.Command)
	l, records, err := h.launcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	own, err := l.Launch(t.Context(), h.spec("own-1"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, own, "remember", "1")
	mustAdopt(t, l, x.estate(), everyone)
	reattach(t, l, h).(host.Leaver).Leave() //nolint:errcheck,forcetypeassert // it's ours
	leave(t, l, own, end, ended)
	if isAlive(before["default-1"]) {
		t.Error("the adopted worker lives")
	}
	x.wantFolders(t, 0)
	h.wantRecords(t, l, 1)
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	next, _ := h.comeBack(t)
	w, err := next.Reattach(t.Context(), h.spec("own-1"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, w, "remember", "2")
}

// shimOf is the shim above a worker.
func shimOf(t *testing.T, worker host.Process) proc.ID {
	t.Helper()
	id, err := proc.Identify(above(t, worker.PID)[0])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAShimThatEndsWhileItIsAdoptedIsAnError(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t), Workers: workers(2)})
	h, l := heirOf(t, x)
	keeper := shimOf(t, before["default-01"])
	got, err := l.Adopt(t.Context(), x.estate(), func(host.WorkerID) bool {
		proc.Kill(keeper)
		return true
	})
	if errdefs.ReasonOf(err) != errdefs.WorkerNotFound || len(got) > 0 || len(l.Survivors()) > 0 {
		t.Errorf("%+v, %v, survivors %+v; want worker_not_found", got, err, l.Survivors())
	}
	for id, w := range before {
		if isAlive(w) {
			t.Errorf("%s lives", id)
		}
	}
	h.wantRecords(t, l, 0)
	x.wantFolders(t, 0)
	x.awaitNoPair(t)
}

func TestAnAdoptionThatIsCalledOffLeavesNothing(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t)})
	h, l := heirOf(t, x)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := l.Adopt(ctx, x.estate(), func(host.WorkerID) bool {
		cancel()
		return true
	})
	if !errors.Is(err, context.Canceled) || len(l.Survivors()) > 0 {
		t.Errorf("%v, survivors %+v", err, l.Survivors())
	}
	if isAlive(before["default-1"]) || shim.InUse(x.Dir) {
		t.Error("it lives on, and nobody has it")
	}
	h.wantRecords(t, l, 0)
	if _, err := l.Adopt(ctx, x.estate(), everyone); err != nil {
		t.Errorf("there's nobody, and it fails: %v", err)
	}
}

// An id is never used twice; if it were, the record that is there is another worker's.
func TestAnAdoptionKeepsTheRecordsThatThereAre(t *testing.T) {
	t.Parallel()
	x, before := deadHost(t, testHost{Command: countingCommand(t)})
	h, l := heirOf(t, x)
	own, err := l.Launch(t.Context(), h.spec("default-1"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Adopt(t.Context(), x.estate(), everyone); errdefs.ReasonOf(err) != errdefs.Exists {
		t.Errorf("%v, want exists", err)
	}
	if isAlive(before["default-1"]) {
		t.Error("it lives on, and nobody has it")
	}
	h.wantRecords(t, l, 1)
	mustCall(t, own, "remember", "1")
}

func TestAnEstateIsAnotherHosts(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	l, _ := h.comeBack(t)
	for _, e := range []Estate{{Dir: h.Dir}, h.estate()} {
		if _, err := l.Adopt(t.Context(), e, everyone); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if got := mustAdopt(t, l, Estate{Dir: t.TempDir(), Instance: NewInstance()}, everyone); len(got) > 0 {
		t.Errorf("adopted %+v from an empty folder", got)
	}
}

// TestRecordsOfAdoptedWorkersNameTheirTokensAlone: of a host that is dead, and whose
// own shim is too.
func TestRecordsOfAdoptedWorkersNameTheirTokensAlone(t *testing.T) {
	t.Parallel()
	h, other := newTestHost(t, host.Command{}), NewInstance()
	token, elsewhere := newToken(other), filepath.Join(t.TempDir(), "0123456789ab")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	orphan, stranger := sleeper(t, tokenVariable+"="+token), sleeper(t, tokenVariable+"="+newToken(other))
	records, err := ledger.Open(h.ledgerPath(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec := ledger.Record{Worker: "w", Token: token, Pool: "default", Dir: elsewhere, Process: identity(stranger)}
	if err := errors.Join(records.Intend(rec), records.Identify("w", rec.Process), records.Close()); err != nil {
		t.Fatal(err)
	}
	h.comeBack(t) // which also makes sure that no record is left
	if isAlive(orphan) {
		t.Error("who carries the token lives")
	}
	if !isAlive(stranger) {
		t.Error("a stranger was killed")
	}
	if _, err := os.Stat(elsewhere); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}

// inheriting is a nursery whose estate is made up.
type inheriting struct {
	nursery

	left []legacy
}

func (n inheriting) inherit(context.Context, Estate) ([]legacy, error) { return n.left, nil }

func TestNothingIsThawedBeforeTheOthersAreGone(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	l, records, err := h.launcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := Estate{Dir: "/run/other", Instance: NewInstance()}
	var order []string
	one := func(id host.WorkerID) found {
		me := host.Process{PID: os.Getpid(), StartTime: 1}
		return found{
			rec: ledger.Record{
				Worker: id, Token: newToken(e.Instance), Pool: "default", Dir: "/run/other/0123456789ab", Process: ledger.Identity{Process: me, Boot: proc.BootID()},
				Reattach: ledger.Reattach{Network: "unix", Address: "/x", AppVersion: protocolVersion, ProtocolVersion: coreVersion},
			},
			id: me, incarnation: 3,
			end: func() { order = append(order, "end "+string(id)) },
		}
	}
	l.nursery = inheriting{l.nursery, []legacy{{
		found: []found{one("kept"), one("unwanted")},
		keep: func(context.Context) error {
			order = append(order, fmt.Sprintf("keep, with %d recorded", h.records(t, l)))
			return errStopped()
		},
		end: func() { order = append(order, "end all") },
	}}}
	if _, err := l.Adopt(t.Context(), e, only("kept")); err == nil {
		t.Error("an adoption that failed gives no error")
	}
	if want := []string{"end unwanted", "keep, with 1 recorded", "end all"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	h.wantRecords(t, l, 0)
	if err := records.Close(); err != nil {
		t.Error(err)
	}
}
