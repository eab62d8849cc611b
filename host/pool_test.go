package host_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestCallsSpreadOverTheWorkers(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		a, b := r.open(host.Request{Tool: "work"}), r.open(host.Request{Tool: "work"})
		defer a.Close()
		defer b.Close()
		if a.Worker() == b.Worker() {
			r.Errorf("both run on %s", a.Worker())
		}
	})
}

func TestWorkerWithSlotsRunsThatManyCalls(t *testing.T) {
	slots := func(c *host.Config, l *hosttest.Launcher) { c.Pools[0].Size, l.Slots = 2, 3 }
	inBubble(t, slots, func(r *rig) {
		took := timed(func() {
			var all []<-chan error
			for range 7 {
				all = append(all, r.start(r.Context(), host.Request{Tool: "work"}))
			}
			for _, done := range all {
				if err := <-done; err != nil {
					r.Error(err)
				}
			}
		})
		if took != 2*time.Second {
			r.Errorf("7 calls of 1 s on 6 slots took %s", took)
		}
		for _, w := range r.launcher.Workers() {
			if w.Most() != 3 {
				r.Errorf("worker ran %d calls at once, want 3", w.Most())
			}
		}
	})
}

func TestWaitingCallsAreServedInOrder(t *testing.T) {
	var order []string
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size, c.Pools[0].QueueTimeout = 1, time.Minute
		l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error {
			order = append(order, string(inv.Payload))
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		var all []<-chan error
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			all = append(all, r.start(r.Context(), host.Request{Tool: "work", Payload: []byte(n)}))
		}
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if d := cmp.Diff([]string{"a", "b", "c", "d", "e"}, order); d != "" {
			r.Errorf("order (-want +got):\n%s", d)
		}
	})
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	full := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size, c.Pools[0].QueueSize = 1, 2 }
	inBubble(t, full, func(r *rig) {
		for range 3 {
			r.start(r.Context(), host.Request{Tool: "work"})
		}
		took := timed(func() { r.wantRan(r.fails(host.Request{Tool: "work"}, errdefs.QueueFull), false) })
		if took != 0 {
			r.Errorf("refused after %s", took)
		}
		if s := r.settled(); s.Queued != 2 {
			r.Errorf("%d calls wait, want 2", s.Queued)
		}
	})
}

func TestPoolWithoutAQueueRefusesWhatMustWait(t *testing.T) {
	none := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size, c.Pools[0].QueueSize = 1, -1 }
	inBubble(t, none, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		done := r.start(r.Context(), host.Request{Tool: "work"})
		r.fails(host.Request{Tool: "echo"}, errdefs.QueueFull)
		if err := <-done; err != nil {
			r.Error(err)
		}
	})
}

func TestWaitingTooLongIsAQueueTimeout(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.start(r.Context(), host.Request{Tool: "busy"})
		took := timed(func() { r.wantRan(r.fails(host.Request{Tool: "echo"}, errdefs.QueueTimeout), false) })
		if took != 5*time.Second {
			r.Errorf("took %s, want 5 s", took)
		}
		if s := r.settled(); s.Queued != 0 {
			r.Errorf("%d calls still wait", s.Queued)
		}
	})
}

func TestCallerThatLeavesTheQueueHoldsNothing(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.start(r.Context(), host.Request{Tool: "work"})
		ctx, cancel := context.WithCancel(r.Context())
		gone := r.start(ctx, host.Request{Tool: "busy"})
		next := r.start(r.Context(), host.Request{Tool: "echo"})
		cancel()
		r.wantRan(r.wantReason(<-gone, errdefs.Cancelled), false)
		if took := timed(func() {
			if err := <-next; err != nil {
				r.Error(err)
			}
		}); took != time.Second {
			r.Errorf("the next in line waited for %s, want the second that the first takes", took)
		}
	})
}

func TestDeadlineInTheQueueNamesTheQueue(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.start(r.Context(), host.Request{Tool: "busy"})
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		_, err := r.do(ctx, host.Request{Tool: "echo"})
		e := r.wantReason(err, errdefs.Deadline)
		r.wantRan(e, false)
		if !strings.Contains(e.Message, "waited for a worker of pool ml") {
			r.Errorf("message %q", e.Message)
		}
	})
}

func TestDeadWorkerIsReplacedAfterBackoff(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
		synctest.Wait()
		if w := r.Workers("ml")[0]; w.State != host.WorkerDead {
			r.Errorf("the seat's worker is %s, want dead", w.State)
		}
		took := timed(func() { r.must(host.Request{Tool: "echo"}) })
		if took < 5*time.Millisecond || took > 10*time.Millisecond {
			r.Errorf("replaced after %s, want 5 to 10 ms", took)
		}
		if s := r.settled(); s.Replaced != 1 || s.Ready != 1 {
			r.Errorf("status %+v", s)
		}
	})
}

func TestWorkersThatKeepDyingAreReplacedEverMoreSlowly(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { one(c, l); c.Pools[0].QueueTimeout = time.Minute }, func(r *rig) {
		var last time.Duration
		for range 12 {
			r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
			last = timed(func() { r.must(host.Request{Tool: "echo"}) })
		}
		if last < 5*time.Second || last > 10*time.Second {
			r.Errorf("the twelfth was replaced after %s, want 5 to 10 s", last)
		}
		time.Sleep(3 * time.Minute) // of a quiet life
		r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
		if took := timed(func() { r.must(host.Request{Tool: "echo"}) }); took > 10*time.Millisecond {
			r.Errorf("after a long life replaced after %s, want 10 ms", took)
		}
	})
}

func TestPoolWithNoLiveWorkerSaysWhy(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		l.OnLaunch = func(_ context.Context, _ host.Spec, n int) error {
			if n > 1 {
				return errdefs.New(errdefs.StartFailed, "the disk is full")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.fails(host.Request{Tool: "crash"}, errdefs.WorkerCrashed)
		e := r.fails(host.Request{Tool: "echo"}, errdefs.NoWorkers)
		if !strings.Contains(e.Message, "the disk is full") {
			r.Errorf("message %q doesn't say why", e.Message)
		}
		if s := r.settled(); !strings.Contains(s.LastStartError, "the disk is full") {
			r.Errorf("last start error %q", s.LastStartError)
		}
	})
}

func TestReadyWaitsForEveryWorker(t *testing.T) {
	slow := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(_ context.Context, _ host.Spec, n int) error {
			time.Sleep(time.Duration(n) * time.Second)
			return nil
		}
	}
	inBubble(t, slow, func(r *rig) {
		if s := r.Status().State; s != host.StateStarting {
			r.Errorf("state %s before the start", s)
		}
		took := timed(func() {
			if err := r.Ready(r.Context()); err != nil {
				r.Error(err)
			}
		})
		if took != 2*time.Second {
			r.Errorf("ready after %s, want 2 s: workers start in parallel", took)
		}
		if s := r.Status().State; s != host.StateReady {
			r.Errorf("state %s", s)
		}
	})
}

func TestLaunchesAreBounded(t *testing.T) {
	var running, most atomic.Int32
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size, c.LaunchLimit = 10, 3
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			running.Add(-1)
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		if err := r.Ready(r.Context()); err != nil {
			r.Error(err)
		}
		if n := most.Load(); n != 3 {
			r.Errorf("%d workers started at once, want 3", n)
		}
	})
}

func TestPoolThatCannotStartFailsAtOnce(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			e := errdefs.New(errdefs.StartFailed, "the adapter raised")
			e.Exception = &errdefs.Exception{Type: "SyntaxError", Message: "invalid syntax"}
			return e
		}
	}
	inBubble(t, change, func(r *rig) {
		took := timed(func() {
			e := r.wantReason(r.Ready(r.Context()), errdefs.StartFailed)
			if e.Exception == nil || e.Where.Pool != "ml" {
				r.Errorf("error %+v", e)
			}
			r.wantRan(r.fails(host.Request{Tool: "echo"}, errdefs.StartFailed), false)
		})
		if took != 0 {
			r.Errorf("took %s", took)
		}
	})
}

func TestPoolThatFailedToStartComesUpLater(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(_ context.Context, _ host.Spec, n int) error {
			if n <= 4 {
				return errors.New("not yet")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.wantReason(r.Ready(r.Context()), errdefs.StartFailed)
		time.Sleep(time.Minute)
		if err := r.Ready(r.Context()); err != nil {
			r.Error(err)
		}
		r.must(host.Request{Tool: "echo"})
		if s := r.settled(); s.LastStartError != "" {
			r.Errorf("last start error %q, though the newest could start", s.LastStartError)
		}
	})
}

func TestWorkerThatNeverGetsReadyTimesOut(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].StartTimeout = 7 * time.Second
		l.OnLaunch = func(ctx context.Context, _ host.Spec, _ int) error { <-ctx.Done(); return ctx.Err() }
	}
	inBubble(t, change, func(r *rig) {
		took := timed(func() { r.wantReason(r.Ready(r.Context()), errdefs.StartFailed) })
		if took != 7*time.Second {
			r.Errorf("took %s", took)
		}
	})
}

func TestCallDuringTheStartWaitsForIt(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(context.Context, host.Spec, int) error { time.Sleep(20 * time.Second); return nil }
	}
	inBubble(t, change, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		_, err := r.do(ctx, host.Request{Tool: "echo"})
		r.wantRan(r.wantReason(err, errdefs.PoolStarting), false)
		r.must(host.Request{Tool: "echo"})
	})
}

func TestShutdownLetsAcceptedCallsFinish(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		running := r.start(r.Context(), host.Request{Tool: "work"})
		waiting := r.start(r.Context(), host.Request{Tool: "work"})
		ended := make(chan error, 1)
		go func() { ended <- r.stop() }()
		synctest.Wait()
		if s := r.Status().State; s != host.StateDraining {
			r.Errorf("state %s", s)
		}
		r.wantRan(r.fails(host.Request{Tool: "echo"}, errdefs.Draining), false)
		took := timed(func() {
			if err := errors.Join(<-running, <-waiting, <-ended); err != nil {
				r.Error(err)
			}
		})
		if took != 2*time.Second {
			r.Errorf("drained in %s", took)
		}
		if s := r.Status().State; s != host.StateStopped {
			r.Errorf("state %s", s)
		}
		r.fails(host.Request{Tool: "echo"}, errdefs.Draining)
		if !r.launcher.Workers()[0].Stopped() {
			r.Error("the worker wasn't asked to stop")
		}
	})
}

func TestShutdownCutsShortWhatTakesTooLong(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { one(c, l); c.ShutdownTimeout = 2 * time.Second }
	inBubble(t, change, func(r *rig) {
		running := r.start(r.Context(), host.Request{Tool: "stuck"})
		waiting := r.start(r.Context(), host.Request{Tool: "work"})
		took := timed(func() {
			if err := r.stop(); err != nil {
				r.Error(err)
			}
		})
		if took != 2500*time.Millisecond {
			r.Errorf("stopped after %s, want shutdown_timeout and cancel_grace", took)
		}
		r.wantRan(r.wantReason(<-running, errdefs.Draining), true)
		r.wantRan(r.wantReason(<-waiting, errdefs.Draining), false)
	})
}

func TestShutdownDuringTheStartIsQuick(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(ctx context.Context, _ host.Spec, _ int) error { <-ctx.Done(); return ctx.Err() }
	}
	inBubble(t, change, func(r *rig) {
		waiting := r.start(r.Context(), host.Request{Tool: "echo"})
		if took := timed(func() { _ = r.stop() }); took != 0 {
			r.Errorf("took %s", took)
		}
		r.wantReason(<-waiting, errdefs.Draining)
		if s := r.Status().Pools[0].LastStartError; s != "" {
			r.Errorf("the interrupted start counts as failed: %s", s)
		}
	})
}

func TestHostRunsOnlyOnce(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		synctest.Wait()
		r.wantReason(r.Host.Run(r.Context()), errdefs.Conflict)
	})
}

func TestWorkersTellTheirState(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		c := r.open(host.Request{Tool: "busy"})
		defer c.Close()
		synctest.Wait()
		busy, calls, sessions := 0, uint64(0), 0
		for _, w := range r.Workers("") {
			if w.State != host.WorkerReady || w.Slots != 1 || w.Process.PID == 0 || w.Node != "n1" || w.Pool != "ml" || w.StartedAt.IsZero() {
				r.Errorf("worker %+v", w)
			}
			busy, calls, sessions = busy+w.Busy, calls+w.Calls, sessions+w.Sessions
		}
		if busy != 1 || calls != 2 || sessions != 1 {
			r.Errorf("busy %d, calls %d, sessions %d", busy, calls, sessions)
		}
		if len(r.Workers("nope")) != 0 {
			r.Error("an unknown pool has workers")
		}
	})
}

func TestConfigurationErrorsAreAllSaidAtOnce(t *testing.T) {
	t.Parallel()
	_, err := host.New(host.Config{
		CallTimeout: -1, MaxSessions: -1,
		Pools: []host.PoolConfig{{Name: "a b", Size: -1}, {Name: "x", Command: host.Command{Path: "p"}}, {Name: "x", Command: host.Command{Path: "p"}}},
	})
	if errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"CallTimeout", "MaxSessions", "Launcher", `"a b"`, "Size -1", "no command", `two pools are named "x"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v doesn't say %s", err, want)
		}
	}
}

func TestZeroConfigurationIsAHostWithoutPools(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { *c = host.Config{} }, func(r *rig) {
		if err := r.Ready(r.Context()); err != nil {
			r.Error(err)
		}
		r.fails(host.Request{Tool: "echo"}, errdefs.ToolNotFound)
	})
}

// twoPools has echo in both, and a tool of its own in each.
func twoPools(c *host.Config, l *hosttest.Launcher) {
	c.Pools = append(c.Pools, host.PoolConfig{Name: "other", Command: host.Command{Path: "fake"}, Size: 1})
	c.Launcher = perPool{l, &hosttest.Launcher{Tools: append([]hosttest.Tool{
		{Tool: host.Tool{Name: "only"}, Run: takes(0)},
	}, tools()[0])}}
}

type perPool struct{ ml, other *hosttest.Launcher }

func (p perPool) Launch(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	if spec.Pool == "other" {
		return p.other.Launch(ctx, spec, serve)
	}
	return p.ml.Launch(ctx, spec, serve)
}

func TestToolIsFoundInTheOnlyPoolThatHasIt(t *testing.T) {
	inBubble(t, twoPools, func(r *rig) {
		if err := r.Ready(r.Context()); err != nil {
			r.Fatal(err)
		}
		c := r.open(host.Request{Tool: "only"})
		defer c.Close()
		if c.Pool() != "other" {
			r.Errorf("runs in %s", c.Pool())
		}
		e := r.fails(host.Request{Tool: "echo"}, errdefs.InvalidArguments)
		if !strings.Contains(e.Message, "ml, other") {
			r.Errorf("message %q doesn't name the pools", e.Message)
		}
		r.must(host.Request{Tool: "echo", Pool: "other", Session: "s"})
		r.must(host.Request{Tool: "echo", Session: "s"}) // the session's pool
		r.fails(host.Request{Tool: "echo", Pool: "ml", Session: "s"}, errdefs.InvalidArguments)
		var names []string
		for _, tool := range r.Tools("other") {
			names = append(names, tool.Pool+"/"+tool.Name)
		}
		if d := cmp.Diff([]string{"other/echo", "other/only"}, names); d != "" {
			r.Errorf("tools (-want +got):\n%s", d)
		}
	})
}

func TestCallThatMetADeadWorkerKeepsItsPlace(t *testing.T) {
	var order []string
	refused := false
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error {
			if string(inv.Payload) == "b" && !refused {
				refused = true
				return errdefs.New(errdefs.WorkerCrashed, "its lane is gone")
			}
			order = append(order, string(inv.Payload))
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		var all []<-chan error
		for _, n := range []string{"a", "b", "c"} {
			all = append(all, r.start(r.Context(), host.Request{Tool: "work", Payload: []byte(n)}))
		}
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if d := cmp.Diff([]string{"a", "b", "c"}, order); d != "" {
			r.Errorf("order (-want +got):\n%s", d)
		}
	})
}

func TestRunNamesAWorkerThatCannotBeStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *host.Config, l *hosttest.Launcher) {
			one(c, l)
			l.OnStop = func(*hosttest.Worker) error { return context.DeadlineExceeded }
		})
		r.must(host.Request{Tool: "echo"})
		w := r.launcher.Workers()[0]
		if err := r.stop(); err == nil || !strings.Contains(err.Error(), string(w.Spec.Worker)) {
			r.Errorf("Run: %v", err)
		}
		if state := r.Workers("")[0].State; state != host.WorkerStopping {
			r.Errorf("the worker is listed as %s", state)
		}
	})
}
