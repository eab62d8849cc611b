package host_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// events gives the pool's events of a kind.
func (r *rig) events(kind host.EventKind) (list []host.Event) {
	for _, e := range r.settled().Events {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// wantEvents checks how many events of a kind there were.
func (r *rig) wantEvents(kind host.EventKind, want int) {
	r.Helper()
	if got := r.events(kind); len(got) != want {
		r.Errorf("%d events %s, want %d: %+v", len(got), kind, want, got)
	}
}

// refusing makes the first n offers of a call fail as a dead worker's do.
func refusing(n int) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size = 8
		l.OnStart = func(*hosttest.Worker, host.Invocation) error {
			if n--; n >= 0 {
				return errdefs.New(errdefs.WorkerCrashed, "its lane is gone")
			}
			return nil
		}
	}
}

func TestCallThatNoWorkerGotIsOfferedAsOftenAsAttemptsSay(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		refusing(100)(c, l)
		c.Pools[0].Retry = host.Retry{Attempts: 5, Backoff: 100 * time.Millisecond, MaxDelay: 250 * time.Millisecond, Jitter: -1}
		c.Pools[0].Breaker.Threshold = -1
	}
	inBubble(t, change, func(r *rig) {
		r.settled()
		took := timed(func() { r.wantRan(r.fails(host.Request{Tool: "echo"}, errdefs.WorkerCrashed), false) })
		if want := 550 * time.Millisecond; took != want { // at once, then 100, 200, 250
			r.Errorf("gave up after %s, want %s", took, want)
		}
		r.wantEvents(host.EventCallRetried, 4)
	})
}

func TestFirstDeadWorkerCostsNoPause(t *testing.T) {
	inBubble(t, refusing(1), func(r *rig) {
		r.settled()
		if took := timed(func() { r.must(host.Request{Tool: "echo"}) }); took != 0 {
			r.Errorf("took %s", took)
		}
		if e := r.events(host.EventCallRetried); len(e) != 1 || e[0].Reason != errdefs.WorkerCrashed || !strings.Contains(e[0].Detail, "echo") {
			r.Errorf("events %+v", e)
		}
	})
}

func TestPauseThatWouldOutlastTheDeadlineIsNotBegun(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		refusing(100)(c, l)
		c.Pools[0].Retry = host.Retry{Backoff: time.Second, Jitter: -1}
	}
	inBubble(t, change, func(r *rig) {
		r.settled()
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			_, err := r.do(ctx, host.Request{Tool: "echo"})
			r.wantReason(err, errdefs.WorkerCrashed)
		})
		if took != 0 {
			r.Errorf("the caller waited %s for nothing", took)
		}
	})
}

// flaky is a tool whose first runs crash their workers.
func flaky(crashes int) func(*host.Config, *hosttest.Launcher) {
	return func(_ *host.Config, l *hosttest.Launcher) {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "flaky"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) {
			if crashes--; crashes >= 0 {
				c.Worker.Crash()
			}
			return []byte(c.Worker.Spec.Worker), nil
		}})
	}
}

func TestIdempotentCallIsRerunOnAnotherWorker(t *testing.T) {
	inBubble(t, flaky(1), func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		c := r.open(host.Request{Tool: "flaky", Idempotent: true, Session: "s"})
		first := c.Worker()
		m, err := c.Recv(r.Context())
		if err != nil || host.WorkerID(m.Payload) == first || c.Worker() == first {
			r.Errorf("got %q, %v; the crash was on %s", m.Payload, err, first)
		}
		r.wantEvents(host.EventCallRetried, 1)
	})
}

func TestRerunsAreBoundedAndCanBeSwitchedOff(t *testing.T) {
	for retries, crashes := range map[int]int{-1: 1, 0: 2, 3: 4} { // zero: one
		change := func(c *host.Config, l *hosttest.Launcher) {
			flaky(crashes)(c, l)
			c.Pools[0].Barrier.Retries = retries
		}
		inBubbleNow(t, change, func(r *rig) {
			r.wantRan(r.fails(host.Request{Tool: "flaky", Idempotent: true}, errdefs.WorkerCrashed), true)
			r.wantEvents(host.EventCallRetried, crashes-1)
			r.must(host.Request{Tool: "flaky", Idempotent: true})
		})
	}
}

func TestWhatMayHaveRunIsNeverRerun(t *testing.T) {
	inBubble(t, flaky(1), func(r *rig) {
		r.wantRan(r.fails(host.Request{Tool: "flaky"}, errdefs.WorkerCrashed), true)
		r.wantEvents(host.EventCallRetried, 0)
		if s := r.settled(); s.Calls != 1 {
			r.Errorf("%d starts", s.Calls)
		}
	})
}

func TestCallThatItsWorkerRefusedUnrunIsGivenToAnother(t *testing.T) {
	refusals := 1
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "closing"}, Run: func(context.Context, *hosttest.Call) ([]byte, error) {
			if refusals--; refusals >= 0 {
				return nil, errdefs.New(errdefs.Draining, "the worker takes no new calls")
			}
			return nil, nil
		}})
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "closing"})
		r.wantEvents(host.EventCallRetried, 1)
	})
}

func TestCallerWhoStopsWaitingDuringAPauseIsFreeAtOnce(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		flaky(1)(c, l)
		c.Pools[0].Retry = host.Retry{Backoff: 10 * time.Second, MaxDelay: time.Minute}
	}
	inBubble(t, change, func(r *rig) {
		c := r.open(host.Request{Tool: "flaky", Idempotent: true})
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			_, err := c.Recv(ctx)
			r.wantRan(r.wantReason(err, errdefs.WorkerCrashed), true)
		})
		if took != time.Second {
			r.Errorf("the caller was held for %s", took)
		}
		synctest.Wait()
	})
}
