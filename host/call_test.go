package host_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestCallGivesWhatTheToolReturns(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		c := r.open(host.Request{Tool: "echo", Payload: []byte("hi")})
		m, err := c.Recv(r.Context())
		if err != nil || !m.Last || string(m.Payload) != "hi" {
			r.Fatalf("got %+v, %v", m, err)
		}
		if _, err := c.Recv(r.Context()); !errors.Is(err, io.EOF) {
			r.Errorf("Recv after the end: %v, want io.EOF", err)
		}
		if c.ID() == "" || c.Worker() == "" || !c.Home() || c.Pool() != "ml" || c.Tool().Name != "echo" {
			r.Errorf("call %q on %q in %q", c.ID(), c.Worker(), c.Pool())
		}
	})
}

func TestChunksComeInOrderBeforeTheResult(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		c := r.open(host.Request{Tool: "count", Stream: true})
		var got []string
		for {
			m, err := c.Recv(r.Context())
			if err != nil {
				r.Fatal(err)
			}
			if m.Last {
				break
			}
			got = append(got, string(m.Payload))
		}
		if d := cmp.Diff([]string{"1", "2", "3"}, got); d != "" {
			r.Errorf("chunks (-want +got):\n%s", d)
		}
	})
}

func TestInputReachesTheTool(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		c := r.open(host.Request{Tool: "join", Input: true})
		for _, part := range []string{"a", "b"} {
			if err := c.Send(r.Context(), []byte(part)); err != nil {
				r.Fatal(err)
			}
		}
		if err := c.CloseSend(); err != nil {
			r.Fatal(err)
		}
		if m, err := c.Recv(r.Context()); err != nil || string(m.Payload) != "ab" {
			r.Errorf("got %q, %v", m.Payload, err)
		}
		r.fails(host.Request{Tool: "echo", Input: true}, errdefs.InvalidArguments)
		plain := r.open(host.Request{Tool: "join"})
		defer plain.Close()
		r.wantReason(plain.Send(r.Context(), nil), errdefs.InvalidArguments)
	})
}

func TestToolErrorSaysWhereItHappened(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		e := r.fails(host.Request{Tool: "fail", Session: "s"}, errdefs.PythonException)
		if e.Where.Node != "n1" || e.Where.Pool != "ml" || e.Where.Worker == "" || e.Where.Tool != "fail" || e.Where.Session != "s" || e.Where.Call == "" {
			r.Errorf("where: %+v", e.Where)
		}
	})
}

func TestUnknownToolSuggestsTheNearest(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		e := r.fails(host.Request{Tool: "ehco"}, errdefs.ToolNotFound)
		if !strings.Contains(e.Hint, "echo") {
			r.Errorf("hint %q", e.Hint)
		}
		r.wantRan(e, false)
		if e := r.fails(host.Request{Tool: "echo", Pool: "mll"}, errdefs.PoolNotFound); !strings.Contains(e.Hint, "ml") {
			r.Errorf("hint %q", e.Hint)
		}
	})
}

func TestInvalidNamesAreCutInTheirError(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		for _, name := range []string{"", strings.Repeat("x", 65), strings.Repeat("x", 10_000), "-a", "a b", "a\nb", "é"} {
			e := r.fails(host.Request{Tool: name}, errdefs.InvalidToolName)
			if text := (*errdefs.Error)(e).Error(); len(text) > 400 {
				r.Errorf("a name of %d bytes gives an error of %d", len(name), len(text))
			}
		}
		r.must(host.Request{Tool: "echo", Session: host.SessionID(strings.Repeat("s", 256))})
		for _, id := range []string{strings.Repeat("s", 257), "a\xff"} {
			r.fails(host.Request{Tool: "echo", Session: host.SessionID(id)}, errdefs.InvalidArguments)
		}
		r.fails(host.Request{Tool: "echo", Metadata: map[string]string{"k": strings.Repeat("v", 4097)}}, errdefs.InvalidArguments)
	})
}

func TestPayloadBeyondItsBoundIsRefused(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Settings.MaxPayload = 10 }, func(r *rig) {
		r.must(host.Request{Tool: "echo", Payload: make([]byte, 10)})
		r.wantRan(r.fails(host.Request{Tool: "echo", Payload: make([]byte, 11)}, errdefs.PayloadTooLarge), false)
	})
}

func TestDeadlineBeforeTheCallRunsNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		ctx, cancel := context.WithTimeout(r.Context(), 0)
		defer cancel()
		_, err := r.do(ctx, host.Request{Tool: "echo"})
		e := r.wantReason(err, errdefs.Deadline)
		r.wantRan(e, false)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Message, "before the call reached the host") {
			r.Errorf("error %v", err)
		}
		if s := r.settled(); s.Calls != 1 {
			r.Errorf("%d calls were started, want 1", s.Calls)
		}
	})
}

func TestDeadlineDuringTheCallFreesTheCallerAtOnce(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			_, err := r.do(ctx, host.Request{Tool: "stuck"})
			e := r.wantReason(err, errdefs.Deadline)
			r.wantRan(e, true)
			if e.Where.Worker == "" {
				r.Error("the error doesn't name the worker")
			}
		})
		if took != time.Second {
			r.Errorf("the caller was held for %s", took)
		}
	})
}

func TestCallTimeoutBoundsCallsWithoutADeadline(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.CallTimeout = 3 * time.Second }, func(r *rig) {
		took := timed(func() {
			e := r.fails(host.Request{Tool: "busy"}, errdefs.Deadline)
			if !strings.Contains(e.Message, "call_timeout") {
				r.Errorf("message %q doesn't name the layer", e.Message)
			}
		})
		if took != 3*time.Second {
			r.Errorf("took %s", took)
		}
	})
}

func TestTheWorkerSeesTheCallersDeadline(t *testing.T) {
	var seen time.Time
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error { seen = inv.Deadline; return nil }
	}
	inBubble(t, change, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.Context(), 7*time.Second)
		defer cancel()
		if _, err := r.do(ctx, host.Request{Tool: "echo"}); err != nil {
			r.Fatal(err)
		}
		if want, _ := ctx.Deadline(); !seen.Equal(want) {
			r.Errorf("deadline %s, want %s", seen, want)
		}
	})
}

func TestCancelledCallReturnsAtOnceAndTheSlotWhenTheToolHasStopped(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		ctx, cancel := context.WithCancel(r.Context())
		done := r.start(ctx, host.Request{Tool: "stuck"})
		cancel()
		r.wantRan(r.wantReason(<-done, errdefs.Cancelled), true)
		if s := r.settled(); s.Busy != 1 {
			r.Errorf("busy %d after a cancel that the tool ignores, want 1: it still runs", s.Busy)
		}
	})
}

func TestToolThatIgnoresItsCancelLosesItsWorker(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		c := r.open(host.Request{Tool: "stuck"})
		first := c.Worker()
		c.Close()
		c.Close()
		took := timed(func() { r.must(host.Request{Tool: "echo"}) })
		if took < 500*time.Millisecond || took > 700*time.Millisecond {
			r.Errorf("the pool served again after %s, want the grace of 500 ms and a short backoff", took)
		}
		if w := r.launcher.Worker(first); w.Err() == nil {
			r.Error("the first worker was not killed")
		} else {
			r.wantReason(w.Err(), errdefs.WorkerHung)
		}
		if s := r.settled(); s.Replaced != 1 || s.Errors[errdefs.Cancelled] != 1 {
			r.Errorf("status %+v", s)
		}
	})
}

func TestClosedCallGivesItsCancel(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		c := r.open(host.Request{Tool: "busy"})
		c.Close()
		_, err := c.Recv(r.Context())
		r.wantRan(r.wantReason(err, errdefs.Cancelled), true)
		_, again := c.Recv(r.Context())
		r.wantReason(again, errdefs.Cancelled)
		if s := r.settled(); s.Errors[errdefs.Cancelled] != 1 {
			r.Errorf("counted %d times", s.Errors[errdefs.Cancelled])
		}
	})
}

func TestUnreadCallStillFreesItsSlot(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.open(host.Request{Tool: "echo"}) // and never read
		if took := timed(func() { r.must(host.Request{Tool: "echo"}) }); took != 0 {
			r.Errorf("the slot was held for %s", took)
		}
	})
}

func TestWorkerDeathEndsItsCallWithATypedError(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		e := r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
		r.wantRan(e, true)
		if e.Where.Worker == "" || e.Exit == nil || e.Exit.Signal != "SIGSEGV" {
			r.Errorf("error %+v", e)
		}
	})
}

func TestCallMovesToAnotherWorkerWhenItsOwnNeverGotIt(t *testing.T) {
	refuse := true
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnStart = func(w *hosttest.Worker, _ host.Invocation) error {
			if refuse {
				refuse = false
				return errdefs.New(errdefs.WorkerCrashed, "its lane is gone")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		synctest.Wait()
		if len(r.launcher.Workers()) < 2 || r.launcher.Workers()[0].Err() == nil && r.launcher.Workers()[1].Err() == nil {
			r.Error("the worker without a lane still lives")
		}
		if s := r.settled(); s.Calls != 1 {
			r.Errorf("%d calls were started, want 1", s.Calls)
		}
	})
}

func TestIdempotentCallSurvivesItsWorker(t *testing.T) {
	runs := 0
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "flaky"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) {
			if runs++; runs == 1 {
				c.Worker.Crash()
			}
			return []byte("ok"), nil
		}})
	}
	inBubble(t, change, func(r *rig) {
		if got := r.must(host.Request{Tool: "flaky", Idempotent: true, Session: "s"}); string(got) != "ok" {
			r.Errorf("got %q", got)
		}
		if s := r.settled(); s.Calls != 1 || s.Retried != 1 || len(s.Errors) != 0 {
			r.Errorf("status %+v, want one call, tried again, and no error", s)
		}
		runs = 0
		r.wantRan(r.fails(host.Request{Tool: "flaky"}, errdefs.WorkerCrashed), true)
		r.fails(host.Request{Tool: "crash", Idempotent: true}, errdefs.WorkerCrashed) // twice is enough
	})
}

func TestErrorsAreCountedOnceEach(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		for range 3 {
			r.fails(host.Request{Tool: "fail"}, errdefs.PythonException)
		}
		r.fails(host.Request{Tool: "nope"}, errdefs.ToolNotFound)
		want := map[errdefs.Reason]uint64{errdefs.PythonException: 3}
		if d := cmp.Diff(want, r.settled().Errors); d != "" {
			r.Errorf("errors (-want +got):\n%s", d)
		}
		if got := r.Status().Refused[errdefs.ToolNotFound]; got != 1 {
			r.Errorf("refused with tool_not_found: %d, want 1", got)
		}
	})
}

func TestReasonsThatAWorkerMakesUpAreCountedTogether(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.Tools = []hosttest.Tool{{Tool: host.Tool{Name: "lie"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) {
			return nil, errdefs.New(errdefs.Reason(c.Payload), "made up")
		}}}
	}
	inBubble(t, change, func(r *rig) {
		for i := range 100 {
			_, _ = r.do(r.Context(), host.Request{Tool: "lie", Payload: []byte("reason_" + strings.Repeat("x", i))})
		}
		want := map[errdefs.Reason]uint64{errdefs.Internal: 100}
		if d := cmp.Diff(want, r.settled().Errors); d != "" {
			r.Errorf("errors (-want +got):\n%s", d)
		}
	})
}
