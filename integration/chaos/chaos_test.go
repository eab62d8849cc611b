//go:build integration && linux

package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

func TestNothingIsLeftOfAnyOrderOfFaults(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	w := newWorld(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to replay: make chaos SEED=%d FAULTS=%d\n%s", *seed, len(w.log), strings.Join(w.log, "\n"))
		}
	})
	t.Cleanup(func() { // whatever went wrong, nothing stays
		if w.host != nil {
			w.reap(w.host)
		}
		for _, e := range w.census() {
			proc.Kill(e.ID)
		}
	})
	strangers := someStrangers(t)
	lateness := watchScheduling(t)
	w.finish(w.begin(time.Minute, "auto"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	calls := startCallers(ctx, w.door)
	begun := time.Now()
	for i := 0; i < *faults && (*limit == 0 || time.Since(begun) < *limit) && !t.Failed(); i++ {
		struck := time.Now()
		w.suffer(i)
		w.rounds = append(w.rounds, time.Since(struck))
		if slices.Max(w.rounds) == w.rounds[i] {
			w.slowest = w.log[i]
		}
	}
	took := time.Since(begun)
	if !t.Failed() {
		w.wantNoGrowth()
	}
	stop()
	calls.wg.Wait()
	w.wantNothingLeft(strangers)
	for _, wrong := range calls.wrong {
		t.Error(wrong)
	}
	t.Logf("seed %d: %d faults in %s (%s)\n%d hosts started, ready: %s\nnothing left of the dead: %s (%s)\nwhole again, with the next host where it was that: %s (%s)\nlateness of a timer meanwhile: %s\ncalls: %s",
		*seed, len(w.log), took.Round(time.Second), counts(w.tally), w.starts, spread(w.back), spread(w.gone), w.worst, spread(w.rounds), w.slowest, spread(lateness()), counts(calls.reasons))
}

// watchScheduling measures how late the machine is with a timer, for comparison.
func watchScheduling(t *testing.T) func() []time.Duration {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var late []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			const pause = 10 * time.Millisecond
			due := time.Now().Add(pause)
			<-time.After(pause)
			late = append(late, time.Since(due))
		}
	})
	return func() []time.Duration {
		stop()
		wg.Wait()
		return late
	}
}

// stranger is a process that isn't ours, however much it looks like it.
type stranger struct {
	what string
	held *census.Held
}

func someStrangers(t *testing.T) (all []stranger) {
	t.Helper()
	for what, c := range map[string]struct{ argv0, env string }{
		"plain":               {"sleep", ""},
		"another's token":     {"sleep", "SNAKEPIT_WORKER_TOKEN=0123456789abcdef0123456789abcdef"},
		"an empty token":      {"sleep", "SNAKEPIT_WORKER_TOKEN="},
		"a guard's name":      {"snakepit-guard", ""},
		"a shim's, and token": {"snakepit-shim", "SNAKEPIT_WORKER_TOKEN=fedcba9876543210fedcba9876543210"},
	} {
		cmd := exec.Command("sleep", "86400")
		cmd.Args[0] = c.argv0
		cmd.Env = append(os.Environ(), c.env)
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // our unreaped child
			_ = cmd.Wait()         // says that it was killed
		})
		id, err := proc.Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		held, err := census.Hold(id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(held.Close)
		all = append(all, stranger{what, held})
	}
	return all
}

// wantNoGrowth kills workers over and over, and counts the descriptors of those who stay.
func (w *world) wantNoGrowth() {
	w.t.Helper()
	const warmUp, more = 2, 3 // the last fault's victim may still be on its way
	var before []string
	for i := range warmUp + more {
		w.killWorker(dice(-i), unix.SIGKILL)
		w.heal()
		if i == warmUp {
			before = w.descriptors()
		}
	}
	w.eventually(fmt.Sprintf("host, shim and guard had %d descriptors, %q, and have %d, %q", len(before), before, len(w.descriptors()), w.descriptors()), func() bool {
		return len(w.descriptors()) <= len(before)
	})
}

// descriptors are those that host, shim and guard have open.
func (w *world) descriptors() (all []string) {
	w.t.Helper()
	for _, id := range []proc.ID{w.host.id, w.host.pair.Shim, w.host.pair.Guard} {
		links, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(id.PID), "fd", "*"))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil {
				all = append(all, to)
			}
		}
	}
	return all
}

// wantNothingLeft stops the host, and looks for whatever may be left of all hosts.
func (w *world) wantNothingLeft(strangers []stranger) {
	w.t.Helper()
	if w.host != nil {
		h := w.host
		w.signal(h.id, unix.SIGTERM)
		if err := h.cmd.Wait(); err != nil {
			w.t.Errorf("the host ended with %v: %s", err, h.stderr)
		}
		w.host = nil
	}
	for _, e := range w.census() {
		w.t.Errorf("left: %s", e)
	}
	for _, s := range strangers {
		if !s.held.Ended(0)[0].IsZero() {
			w.t.Errorf("the stranger with %s is dead", s.what)
		}
	}
	for _, pattern := range []string{filepath.Join(w.dir, "snakepit", "*"), filepath.Join(w.dir, "tmp", "*"), "/dev/shm/*snakepit*"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			w.t.Errorf("left: %v, %v", left, err)
		}
	}
	w.wantNoCgroups()
	w.wantNoRecords()
}

func (w *world) wantNoCgroups() {
	w.t.Helper()
	for guard := range w.guards {
		for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			left, err := filepath.Glob(filepath.Join(mount, fmt.Sprintf("snakepit-*-%d-*", guard)))
			if err != nil || len(left) > 0 {
				w.t.Errorf("cgroups of guard %d are left: %v, %v", guard, left, err)
			}
		}
	}
}

// wantNoRecords reads the ledger of a host that has ended.
func (w *world) wantNoRecords() {
	w.t.Helper()
	l, err := ledger.Open(filepath.Join(w.dir, "state", "snakepit", "ledger.db"), ledger.Options{})
	if err != nil {
		w.t.Error(err)
		return
	}
	defer l.Close()
	records, err := l.Records()
	if err != nil || len(records) > 0 {
		w.t.Errorf("the ledger has %v, %v", records, err)
	}
	if torn := l.SetAside(); torn != "" {
		w.t.Errorf("the ledger was torn: %s", torn)
	}
}

// TestASeedFixesTheFaults shows that a run can be replayed.
func TestASeedFixesTheFaults(t *testing.T) {
	t.Parallel()
	schedule := func() (names []string) {
		for i := range 100 {
			names = append(names, draw(dice(i)).name)
		}
		return names
	}
	if a, b := schedule(), schedule(); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}
