package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// fuse is a pool whose breaker opens after three crashes, for ten seconds.
func fuse(c *host.Config, _ *hosttest.Launcher) {
	c.Pools[0].Breaker = host.Breaker{Threshold: 3, Reset: 10 * time.Second}
	c.Pools[0].QueueTimeout = time.Minute
}

func (r *rig) crash(n int) {
	r.Helper()
	for range n {
		r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
	}
}

func (r *rig) wantBreaker(want host.BreakerState) {
	r.Helper()
	if got := r.settled().Breaker.State; got != want {
		r.Errorf("the breaker is %s, want %s", got, want)
	}
}

func TestCrashesInARowOpenTheBreaker(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		r.crash(3)
		begun := time.Now()
		var e *seen
		took := timed(func() { e = r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen) })
		if took != 0 || e.RetryAfter != 10*time.Second {
			r.Errorf("refused after %s, to be tried again in %s", took, e.RetryAfter)
		}
		r.wantRan(e, false)
		if s := r.settled(); s.Breaker.State != host.BreakerOpen || s.Breaker.Failures != 3 || !s.Breaker.RetryAt.Equal(begun.Add(10*time.Second)) || s.Errors[errdefs.CircuitOpen] != 1 {
			r.Errorf("status %+v", s)
		}
		r.wantEvents(host.EventBreakerOpened, 1)
	})
}

func TestSuccessesResetTheBreaker(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		for range 4 {
			r.crash(2)
			r.must(host.Request{Tool: "echo"})
		}
		r.crash(2)
		r.fails(host.Request{Tool: "fail"}, errdefs.PythonException) // the worker lives, whatever its tool says
		r.crash(2)
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestToolErrorsDoNotOpenTheBreaker(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		for range 20 {
			r.fails(host.Request{Tool: "fail"}, errdefs.PythonException)
		}
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestCancelledCallsResetNothing(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		r.crash(2)
		c := r.open(host.Request{Tool: "work"})
		c.Close()
		synctest.Wait()
		r.crash(1)
		r.wantBreaker(host.BreakerOpen)
	})
}

func TestOneProbeClosesTheBreaker(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		r.crash(3)
		time.Sleep(10 * time.Second)
		probe := r.start(r.Context(), host.Request{Tool: "work"})
		r.wantBreaker(host.BreakerHalfOpen)
		if e := r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen); e.RetryAfter > time.Second {
			r.Errorf("while a probe runs: try again in %s", e.RetryAfter)
		}
		if err := <-probe; err != nil {
			r.Fatal(err)
		}
		r.must(host.Request{Tool: "echo"})
		r.wantBreaker(host.BreakerClosed)
		r.wantEvents(host.EventBreakerHalf, 1)
		r.wantEvents(host.EventBreakerClosed, 1)
	})
}

func TestProbeThatCrashesOpensTheBreakerAgain(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		r.crash(3)
		time.Sleep(10 * time.Second)
		r.crash(1)
		r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen)
		time.Sleep(10 * time.Second)
		r.must(host.Request{Tool: "echo"})
		r.wantEvents(host.EventBreakerOpened, 2)
	})
}

func TestProbeThatTellsNothingMakesRoomForAnother(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		r.crash(3)
		time.Sleep(10 * time.Second)
		for range 3 { // left, cancelled, and never started
			r.open(host.Request{Tool: "work"}).Close()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(r.Context(), time.Second/2)
			_, err := r.do(ctx, host.Request{Tool: "work"})
			cancel()
			r.wantReason(err, errdefs.Deadline)
			synctest.Wait()
			r.fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound)
		}
		r.wantBreaker(host.BreakerHalfOpen)
		r.must(host.Request{Tool: "echo"})
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestSlowProbeDoesNotHoldThePoolForLongerThanReset(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		fuse(c, l)
		c.Pools[0].Breaker.Reset = 3 * time.Second
	}, func(r *rig) {
		r.crash(3)
		time.Sleep(3 * time.Second)
		slow := r.start(r.Context(), host.Request{Tool: "busy"})
		r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen)
		time.Sleep(3 * time.Second)
		r.must(host.Request{Tool: "echo"})
		r.wantBreaker(host.BreakerClosed)
		if err := <-slow; err != nil {
			r.Error(err)
		}
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestCallsThatWaitAreRefusedOnceTheBreakerOpens(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { one(c, l); fuse(c, l) }, func(r *rig) {
		r.crash(2)
		r.must(host.Request{Tool: "echo"})
		r.crash(2)
		first := r.start(r.Context(), host.Request{Tool: "crash"})
		var waiting []<-chan error
		for range 5 {
			waiting = append(waiting, r.start(r.Context(), host.Request{Tool: "crash"}))
		}
		r.wantReason(<-first, errdefs.WorkerCrashed)
		for _, w := range waiting {
			r.wantReason(<-w, errdefs.CircuitOpen)
		}
	})
}

func TestManyWorkersKilledAtOnceAreOneFailure(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { fuse(c, l); c.Pools[0].Size = 8 }, func(r *rig) {
		r.settled()
		var calls []<-chan error
		for range 6 {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "busy"}))
		}
		for _, w := range r.launcher.Live() {
			w.CrashBy("SIGKILL")
		}
		for _, c := range calls {
			r.wantReason(<-c, errdefs.WorkerCrashed)
		}
		if s := r.settled(); s.Breaker.State != host.BreakerClosed || s.Breaker.Failures != 1 {
			r.Errorf("after the shim's end: %+v", s.Breaker)
		}
	})
}

func TestKillingIdleWorkersOpensNoBreaker(t *testing.T) {
	inBubble(t, fuse, func(r *rig) {
		for range 5 {
			r.settled()
			r.launcher.Live()[0].CrashBy("SIGKILL")
			time.Sleep(time.Second)
		}
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestFailedStartsOpenTheBreakerUntilOneSucceeds(t *testing.T) {
	var broken atomic.Bool
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		fuse(c, l)
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			if broken.Load() {
				return errors.New("no such module")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		broken.Store(true)
		r.launcher.Live()[0].Crash()
		time.Sleep(5 * time.Second)
		r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen)
		broken.Store(false)
		time.Sleep(15 * time.Second) // a seat that can't start stays empty for up to 10 s
		r.must(host.Request{Tool: "echo"})
		r.wantBreaker(host.BreakerClosed)
	})
}

func TestSeatThatCannotStartDoesNotStopThoseThatServe(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		fuse(c, l)
		l.OnLaunch = func(_ context.Context, _ host.Spec, n int) error {
			if n > 1 {
				return errors.New("no memory")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		time.Sleep(time.Minute)
		r.wantBreaker(host.BreakerClosed)
		r.must(host.Request{Tool: "echo"})
	})
}

func TestPoolWithoutABreakerGoesOn(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { fuse(c, l); c.Pools[0].Breaker.Threshold = -1 }, func(r *rig) {
		r.crash(6)
		r.must(host.Request{Tool: "echo"})
	})
}
