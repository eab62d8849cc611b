//go:build integration && linux

package integration_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// errorBound is how long after its worker's death a caller may wait for its error.
	errorBound = 50 * time.Millisecond
	// probe is probe_timeout in the tests of stopped workers.
	probe = 400 * time.Millisecond
)

// crash is a way for a worker to end in a call.
type crash struct {
	tool   string
	signal unix.Signal // sent while the tool runs; zero: the tool does it
	reason errdefs.Reason
	exit   string // how the process ended
	after  time.Duration
}

func TestDeathsInACallAreToldAtOnceAndMended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]crash{
		"SIGKILL":           {"sleep", unix.SIGKILL, errdefs.WorkerCrashed, "signal SIGKILL", 0},
		"SIGKILL in C":      {"stuck", unix.SIGKILL, errdefs.WorkerCrashed, "signal SIGKILL", 0},
		"SIGSEGV":           {"sleep", unix.SIGSEGV, errdefs.WorkerCrashed, "signal SIGSEGV", 0},
		"a null pointer":    {"segfault", 0, errdefs.WorkerCrashed, "signal SIGSEGV", 0},
		"os._exit(0)":       {"exit", 0, errdefs.WorkerCrashed, "exit code 0", 0},
		"SIGSTOP":           {"sleep", unix.SIGSTOP, errdefs.WorkerHung, "signal SIGKILL", probe},
		"SIGSTOP in a loop": {"loop", unix.SIGSTOP, errdefs.WorkerHung, "signal SIGKILL", probe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			s := p.serve(t, p.adapter(t, "victims.py")+":Victim", "--workers", "2", "--set", "probe_timeout="+probe.String(), "--set", "orphan_grace=0")
			c.play(t, p, s)
		})
	}
}

// play lets a worker die in a call, and sees that the pool is whole again.
func (c crash) play(t *testing.T, p *place, s *server) {
	t.Helper()
	sp := dial(t, s)
	workers := p.workers(t, 2)
	held := hold(t, entryIDs(workers)...)
	ended := make(chan telling, 1)
	go func() {
		err := sp.Call(t.Context(), c.tool, nil, nil)
		ended <- telling{err, time.Now()}
	}()
	var victim proc.ID
	var from time.Time
	if c.signal != 0 {
		victim = p.runner(t, c.tool, workers)
		from = time.Now()
		hold(t, victim).Signal(c.signal)
	} else {
		victim, from = firstEnd(t, held, workers)
	}
	told := <-ended
	err, took := told.err, told.at.Sub(from)
	t.Logf("the caller knows after %s: %v", took, err)
	e := errdefs.Of(err)
	if e == nil || e.Reason != c.reason || !e.MayHaveRun || e.Exit == nil || e.Exit.String() != c.exit {
		t.Errorf("the call ended with %v, want %s with %s, that may have run", err, c.reason, c.exit)
	}
	if took < c.after || took > c.after+max(slack*errorBound, time.Second) {
		t.Errorf("the caller knew after %s; %s is stated, once %s are over", took, errorBound, c.after)
	}
	answersAgain(t, sp, told.at)
	eventuallyWithin(t, time.Minute, "the worker isn't replaced", func() bool {
		st, err := sp.Status(t.Context())
		return err == nil && st.GetPools()[0].GetReady() == 2
	})
	t.Logf("whole again after %s", time.Since(from))
	now := entryIDs(p.workers(t, 2))
	for _, w := range workers {
		if slices.Contains(now, w.ID) == (w.ID == victim) {
			t.Errorf("of %v, %d had to go; there are %v", entryIDs(workers), victim.PID, now)
		}
	}
}

// telling is what a caller was told, and when.
type telling struct {
	err error
	at  time.Time
}

// firstEnd waits until one of the processes has ended, and tells which and when.
func firstEnd(t *testing.T, held *census.Held, of []census.Entry) (proc.ID, time.Time) {
	t.Helper()
	for i, end := range held.AnyEnded(slack * time.Second) {
		if !end.IsZero() {
			return of[i].ID, end
		}
	}
	t.Fatal("no worker has ended")
	return proc.ID{}, time.Time{}
}

// workers lists the worker processes of the place, once there are as many as wanted.
func (p *place) workers(t *testing.T, want int) (found []census.Entry) {
	t.Helper()
	eventually(t, fmt.Sprintf("there aren't %d workers", want), func() bool {
		found = slices.DeleteFunc(p.census(t), func(e census.Entry) bool {
			return e.Token == "" || !strings.Contains(e.Command, filepath.Join(p.dir, "victims.py"))
		})
		return len(found) == want
	})
	return found
}

// runner is the worker that runs a tool, once it does.
func (p *place) runner(t *testing.T, tool string, workers []census.Entry) (id proc.ID) {
	t.Helper()
	eventually(t, "the tool doesn't run", func() bool {
		for _, w := range workers {
			if found, err := filepath.Glob(filepath.Join(p.dir, "begun-"+tool+"-"+w.Token+"-*")); err == nil && len(found) > 0 {
				id = w.ID
			}
		}
		return id.PID != 0
	})
	return id
}

func TestAStoppedWorkerThatGoesOnInTimeLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.serve(t, p.adapter(t, "victims.py")+":Victim", "--workers", "1", "--set", "probe_timeout=1m")
	sp := dial(t, s)
	worker := p.workers(t, 1)[0]
	held := hold(t, worker.ID)
	held.Signal(unix.SIGSTOP)
	eventually(t, "it doesn't stop", func() bool {
		now, err := proc.Read(worker.PID)
		return err == nil && now.Stopped()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type answer struct {
		pid int
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		pid, err := snakepit.Call[int](ctx, sp, "pid", nil)
		answered <- answer{pid, err}
	}()
	eventually(t, "the call isn't on its way", func() bool {
		st, err := sp.Status(t.Context())
		return err == nil && st.GetPools()[0].GetBusy() == 1
	})
	held.Signal(unix.SIGCONT)
	if got := <-answered; got.err != nil || got.pid != worker.PID {
		t.Errorf("process %d answered, %v; want %d", got.pid, got.err, worker.PID)
	}
}
