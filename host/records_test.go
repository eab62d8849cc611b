package host_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

// failing is a registry that refuses, or never answers, whatever concerns processes.
type failing struct {
	*host.MemoryRegistry

	mu     sync.Mutex // guards all below
	refuse error
	hang   bool
	asked  int
}

func newFailing() *failing { return &failing{MemoryRegistry: host.NewMemoryRegistry(0)} }

func (f *failing) set(refuse error, hang bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.hang = refuse, hang
}

func (f *failing) ask(ctx context.Context) error {
	f.mu.Lock()
	refuse, hang := f.refuse, f.hang
	f.asked++
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return refuse
}

func (f *failing) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *failing) ClaimProcess(ctx context.Context, p host.ProcessRecord) (host.ProcessRecord, error) {
	if err := f.ask(ctx); err != nil {
		return host.ProcessRecord{}, err
	}
	return f.MemoryRegistry.ClaimProcess(ctx, p)
}

func (f *failing) ReleaseProcess(ctx context.Context, worker host.WorkerID) error {
	if err := f.ask(ctx); err != nil {
		return err
	}
	return f.MemoryRegistry.ReleaseProcess(ctx, worker)
}

func recorded(f *failing) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, _ *hosttest.Launcher) {
		c.Registry = f
		c.Machine = host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "p"}
	}
}

// pids are those of the recorded processes.
func (f *failing) pids(t *testing.T) map[host.WorkerID]int {
	t.Helper()
	list, err := f.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pids := map[host.WorkerID]int{}
	for _, p := range list {
		if p.Node != "n1" || p.Pool != "ml" || p.Machine != (host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "p"}) {
			t.Errorf("record %+v", p)
		}
		pids[p.Worker] = p.Process.PID
	}
	return pids
}

func (r *rig) wantRecorded(f *failing, workers ...*hosttest.Worker) {
	r.Helper()
	synctest.Wait()
	pids := f.pids(r.T)
	if len(pids) != len(workers) {
		r.Errorf("recorded %v, want %d", pids, len(workers))
	}
	for _, w := range workers {
		if got, want := pids[w.Spec.Worker], w.Description().Process.PID; got != want {
			r.Errorf("worker %s has pid %d in the record, want %d", w.Spec.Worker, got, want)
		}
	}
}

func TestProcessesOfWorkersAreRecordedWhileTheyLive(t *testing.T) {
	f := newFailing()
	inBubble(t, recorded(f), func(r *rig) {
		synctest.Wait()
		first := r.launcher.Live()
		r.wantRecorded(f, first...)
		first[0].Crash()
		time.Sleep(time.Second) // its seat backs off first
		r.wantRecorded(f, r.launcher.Live()...)
		if err := r.stop(); err != nil {
			r.Error(err)
		}
		r.wantRecorded(f)
	})
}

func TestWhatTheRegistryRefusesIsToldWithTheNextChange(t *testing.T) {
	f := newFailing()
	f.set(errors.New("no"), false)
	inBubble(t, recorded(f), func(r *rig) {
		synctest.Wait()
		r.wantRecorded(f)
		f.set(nil, false)
		r.launcher.Live()[0].Crash()
		time.Sleep(time.Second)
		r.wantRecorded(f, r.launcher.Live()...)
	})
}

func TestRegistryThatHangsHoldsUpNoWorkerAndNoCall(t *testing.T) {
	f := newFailing()
	f.set(nil, true)
	inBubble(t, recorded(f), func(r *rig) {
		if took := timed(func() { r.must(host.Request{Tool: "echo"}) }); took != 0 {
			r.Errorf("a call took %s", took)
		}
		synctest.Wait()
		if f.questions() == 0 {
			r.Error("the registry wasn't asked")
		}
		for range 5 {
			r.launcher.Live()[0].Crash()
			time.Sleep(10 * time.Second)
		}
		if live := len(r.launcher.Live()); live != 2 {
			r.Errorf("%d workers live, want 2", live)
		}
		if took := timed(func() { _ = r.stop() }); took > 5*time.Second {
			r.Errorf("the host took %s to end", took)
		}
	})
}

func TestRegistryWithoutProcessesIsNotAsked(t *testing.T) {
	var plain struct{ host.Registry }
	plain.Registry = host.NewMemoryRegistry(0)
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Registry = plain }, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
	})
}

func TestRecordsOfAnEarlierHostAreTakenBackAndNobodyElses(t *testing.T) {
	r := host.NewMemoryRegistry(0)
	for _, p := range []host.ProcessRecord{{Worker: "gone", Node: "n1"}, {Worker: "theirs", Node: "n2"}} {
		if _, err := r.ClaimProcess(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Registry = r }, func(rig *rig) {
		synctest.Wait()
		list, err := r.Processes(rig.Context())
		if err != nil || len(list) != 3 {
			rig.Errorf("recorded %+v (%v), want the other host's and two new ones", list, err)
		}
		for _, p := range list {
			if p.Worker == "gone" || p.Node == "n2" && p.Worker != "theirs" {
				rig.Errorf("recorded %+v", p)
			}
		}
	})
}

func TestOnlyKnownMachinesAreTheSame(t *testing.T) {
	t.Parallel()
	here := host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "p"}
	if !here.Same(here) {
		t.Error("a machine isn't itself")
	}
	for _, other := range []host.MachineID{
		{},
		{Machine: "m", Boot: "b"},
		{Machine: "m", PIDNamespace: "p"},
		{Boot: "b", PIDNamespace: "p"},
		{Machine: "m", Boot: "c", PIDNamespace: "p"},
		{Machine: "m", Boot: "b", PIDNamespace: "q"},
	} {
		if here.Same(other) || other.Same(here) || other.Same(other) && other.PIDNamespace == "" {
			t.Errorf("%+v is taken for %+v", other, here)
		}
	}
}
