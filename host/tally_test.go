package host_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// checkCounts: each call is counted once, by what its caller was told.
func (m *model) checkCounts(rt *rapid.T) {
	s := m.rig.Status().Pools[0]
	var ok, open, ran, waited uint64
	errs := map[errdefs.Reason]uint64{}
	for _, c := range m.calls {
		c.mu.Lock()
		outcomes := c.outcomes
		c.mu.Unlock()
		started := m.hasStarted(c.n)
		switch {
		case len(outcomes) == 0:
			open++
		case outcomes[0] == nil:
			ok++
		default:
			errs[errdefs.ReasonOf(outcomes[0])]++
		}
		if started && len(outcomes) > 0 {
			ran++
		}
		if started || len(outcomes) > 0 && !refused(outcomes[0]) {
			waited++
		}
	}
	if s.Received != uint64(len(m.calls)) || s.OK != ok || s.Open != open || !maps.Equal(s.Errors, errs) {
		rt.Fatalf("of %d calls %d succeeded, %d are open, %v failed; the status says %+v", len(m.calls), ok, open, errs, s)
	}
	m.checkWorkerCounts(rt, s)
	if m.prefetch > 0 {
		return // a call that waits in its worker has been started as far as the host can say
	}
	if s.Calls != uint64(len(m.started)) || s.RunTime.Count() != ran || s.QueueTime.Count() != waited || s.Rejected != errs[errdefs.QueueFull] {
		rt.Fatalf("%d started, %d of them ended, %d waited; the status says %+v", len(m.started), ran, waited, s)
	}
}

// refused tells what is said without waiting, or may be.
func refused(err error) bool {
	r := errdefs.ReasonOf(err)
	return r == errdefs.QueueFull || r == errdefs.WorkerBusy || r == errdefs.SessionWorkerUnavailable
}

// checkWorkerCounts: what runs is at a worker, and at rest nothing waits.
func (m *model) checkWorkerCounts(rt *rapid.T, s host.PoolStatus) {
	var calls uint64
	for _, w := range m.rig.Workers("") {
		calls += w.Calls
		if uint64(w.Busy) > w.Calls || w.Errors > w.Calls || w.RunTime > time.Since(w.StartedAt)*time.Duration(w.Slots) {
			rt.Fatalf("worker %+v", w)
		}
	}
	if calls > s.Calls+s.Retried {
		rt.Fatalf("%d calls at the living workers, %+v", calls, s)
	}
	if s.Open == 0 && s.Queued > int(m.closing.Load()) {
		rt.Fatalf("nobody waits, %d are queued", s.Queued)
	}
}

func TestTimesInTheQueueAndAtTheWorkerAreTold(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		first := r.start(r.Context(), host.Request{Tool: "work"})
		second := r.start(r.Context(), host.Request{Tool: "work"})
		for _, out := range []<-chan error{first, second} {
			if err := <-out; err != nil {
				r.Fatal(err)
			}
		}
		s := r.settled()
		if q := s.QueueTime; q.Count() != 2 || q.Max != time.Second || q.Sum != time.Second {
			r.Errorf("queue time %+v, want none and a second", q)
		}
		if run := s.RunTime; run.Count() != 2 || run.Max != time.Second || run.Sum != 2*time.Second || run.Mean() != time.Second {
			r.Errorf("run time %+v, want a second twice", run)
		}
		if w := r.Workers("")[0]; w.Calls != 2 || w.RunTime != 2*time.Second || w.Errors != 0 {
			r.Errorf("worker %+v", w)
		}
	})
}

func TestWaitInVainIsWaitAndRejectionIsNot(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) {
		c.Pools[0].Size, c.Pools[0].QueueSize, c.Pools[0].QueueTimeout = 1, 1, 2*time.Second
	}
	inBubble(t, change, func(r *rig) {
		r.open(host.Request{Tool: "busy"})
		vain := r.start(r.Context(), host.Request{Tool: "echo"})
		r.fails(host.Request{Tool: "echo"}, errdefs.QueueFull)
		r.wantReason(<-vain, errdefs.QueueTimeout)
		s := r.settled()
		if s.Rejected != 1 || s.Received != 3 || s.Calls != 1 || s.Open != 1 || s.Queued != 0 {
			r.Errorf("status %+v", s)
		}
		if q := s.QueueTime; q.Count() != 2 || q.Sum != 2*time.Second {
			r.Errorf("queue time %+v, want that of the one that runs, and two seconds", q)
		}
	})
}

func TestStreamsAreCountedLikeCalls(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.must(host.Request{Tool: "count", Stream: true})
		join := r.open(host.Request{Tool: "join", Input: true, Payload: []byte("args")})
		for _, part := range []string{"ab", "c"} {
			if err := join.Send(r.Context(), []byte(part)); err != nil {
				r.Fatal(err)
			}
		}
		if s := r.settled(); s.Open != 1 || s.Calls != 2 || s.OK != 1 {
			r.Errorf("while one runs: %+v", s)
		}
		if err := join.CloseSend(); err != nil {
			r.Fatal(err)
		}
		if m, err := join.Recv(r.Context()); err != nil || string(m.Payload) != "abc" {
			r.Fatalf("%q, %v", m.Payload, err)
		}
		if s := r.settled(); s.Open != 0 || s.OK != 2 || s.BytesIn != 4+3 || s.BytesOut != 3+3 || s.RunTime.Count() != 2 {
			r.Errorf("at rest: %+v", s)
		}
	})
}

func TestWorkerTellsWhatWentWrongOnItLast(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.fails(host.Request{Tool: "fail"}, errdefs.PythonException)
		left := r.open(host.Request{Tool: "busy"})
		time.Sleep(3 * time.Second)
		left.Close()
		left.Close()
		r.settled()
		w := r.Workers("")[0]
		if w.Calls != 2 || w.Errors != 2 || w.LastError != errdefs.Cancelled || w.RunTime != 3*time.Second {
			r.Errorf("worker %+v", w)
		}
		if s := r.settled(); s.Errors[errdefs.Cancelled] != 1 || s.Errors[errdefs.PythonException] != 1 {
			r.Errorf("errors %v", s.Errors)
		}
	})
}

func TestRetriedCallIsOneOfThePoolAndOneAtEachWorker(t *testing.T) {
	var starts []string
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Retry.Backoff = time.Millisecond // the dead one still has its seat then
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "flaky"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) {
			if starts = append(starts, string(c.Worker.Spec.Worker)); len(starts) == 1 {
				c.Worker.Crash()
			}
			return nil, nil
		}})
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "flaky", Idempotent: true})
		if s := r.settled(); s.Received != 1 || s.Calls != 1 || s.OK != 1 || s.Retried != 1 || s.RunTime.Count() != 1 || s.QueueTime.Count() != 1 {
			r.Errorf("pool %+v", s)
		}
		for _, w := range r.Workers("") {
			if want := uint64(1); string(w.ID) == starts[0] && (w.Errors != want || w.LastError != errdefs.WorkerCrashed) || w.Calls != want {
				r.Errorf("worker %+v", w)
			}
		}
	})
}
