package host_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// scaled gives the first pool a range, and its launches a length.
func scaled(s host.Scale, launch time.Duration) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Scale = s
		c.LaunchLimit = 64
		l.OnLaunch = launchTakes(launch)
	}
}

func launchTakes(d time.Duration) func(context.Context, host.Spec, int) error {
	return func(ctx context.Context, s host.Spec, _ int) error { return slowly(d)(ctx, s) }
}

func (r *rig) hasEvent(kind host.EventKind) bool {
	return slices.ContainsFunc(r.Status().Pools[0].Events, func(e host.Event) bool { return e.Kind == kind })
}

func (r *rig) readyNow() int { return r.settled().Ready }

func TestCallThatFindsNoWorkerMakesThePoolGrowAndSucceeds(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		scaled(host.Scale{Max: 4}, 20*time.Second)(c, l) // longer than queue_timeout
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		time.Sleep(2 * time.Minute)
		if s := r.settled(); s.Ready != 0 || s.Size != 0 || len(r.Workers("")) != 0 {
			r.Fatalf("after two idle minutes: %d of %d workers", s.Ready, s.Size)
		}
		took := timed(func() { r.must(host.Request{Tool: "echo"}) })
		if took != 20*time.Second {
			r.Errorf("the call took %s, want the 20s of the launch", took)
		}
		if s := r.settled(); s.Ready != 1 || !r.hasEvent(host.EventPoolGrown) || !r.hasEvent(host.EventPoolShrunk) {
			r.Errorf("%d workers, events %+v", s.Ready, s.Events)
		}
	})
}

func TestCallThatFindsNoWorkerIsBoundedByItsDeadline(t *testing.T) {
	inBubble(t, scaled(host.Scale{Max: 4}, 20*time.Second), func(r *rig) {
		r.ready()
		time.Sleep(2 * time.Minute)
		ctx, cancel := context.WithTimeout(r.Context(), 7*time.Second)
		defer cancel()
		_, err := r.do(ctx, host.Request{Tool: "echo"})
		r.wantRan(r.wantReason(err, errdefs.Deadline), false)
	})
}

func TestCallOfAPoolThatCannotGrowFromZeroSaysWhy(t *testing.T) {
	broken := atomic.Bool{}
	change := func(c *host.Config, l *hosttest.Launcher) {
		scaled(host.Scale{Max: 4}, 0)(c, l)
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			if broken.Load() {
				return errdefs.New(errdefs.StartFailed, "no such module")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		time.Sleep(2 * time.Minute)
		broken.Store(true)
		took := timed(func() { r.fails(host.Request{Tool: "echo"}, errdefs.NoWorkers) })
		if took != 5*time.Second {
			r.Errorf("the call took %s, want queue_timeout", took)
		}
		broken.Store(false)
		time.Sleep(10 * time.Second) // the longest backoff
		r.must(host.Request{Tool: "echo"})
	})
}

func TestPoolGrowsByDoublingWhileCallsWaitTooLong(t *testing.T) {
	inBubble(t, scaled(host.Scale{Min: 1, Max: 6, QueueDelay: 50 * time.Millisecond}, time.Second), func(r *rig) {
		r.ready()
		var all []<-chan error
		for range 20 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "busy"}))
		}
		sizes := []int{r.settled().Size}
		for range 80 {
			time.Sleep(50 * time.Millisecond)
			if n := r.settled().Size; n != sizes[len(sizes)-1] {
				sizes = append(sizes, n)
			}
		}
		if want := []int{1, 2, 4, 6}; !slices.Equal(sizes, want) {
			r.Errorf("sizes %v, want %v", sizes, want)
		}
		for _, done := range all {
			<-done
		}
	})
}

func TestPoolDoesNotGrowForCallsThatWaitBriefly(t *testing.T) {
	inBubble(t, scaled(host.Scale{Min: 1, Max: 6, QueueDelay: 3 * time.Second}, 0), func(r *rig) {
		r.ready()
		first, second := r.start(r.Context(), host.Request{Tool: "work"}), r.start(r.Context(), host.Request{Tool: "work"})
		for _, done := range []<-chan error{first, second} {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if n := r.settled().Size; n != 1 {
			r.Errorf("size %d, want 1", n)
		}
	})
}

func TestPoolShrinksToWhatItsLoadNeeds(t *testing.T) {
	inBubble(t, scaled(host.Scale{Min: 1, Max: 8, IdleAfter: 40 * time.Second}, 0), func(r *rig) {
		r.ready()
		var all []<-chan error
		for range 8 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "busy"}))
		}
		for _, done := range all {
			<-done
		}
		if n := r.settled().Size; n != 8 {
			r.Fatalf("size %d under load, want 8", n)
		}
		// Two calls at once, which go round all eight.
		for range 120 {
			a, b := r.start(r.Context(), host.Request{Tool: "work"}), r.start(r.Context(), host.Request{Tool: "work"})
			if err := <-a; err != nil {
				r.Error(err)
			}
			if err := <-b; err != nil {
				r.Error(err)
			}
		}
		if s := r.settled(); s.Size != 2 || s.Ready != 2 {
			r.Errorf("%d of %d workers for two calls at once", s.Ready, s.Size)
		}
	})
}

func TestHomeOfASessionIsNotReapedUntilTheSessionExpires(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		scaled(host.Scale{Max: 3, IdleAfter: 10 * time.Second}, 0)(c, l)
		c.Pools[0].SessionTTL = 5 * time.Minute
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		c := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = c.Recv(r.Context())
		time.Sleep(4 * time.Minute)
		if again := r.inSession("s"); again.Worker() != c.Worker() {
			r.Error("the session has lost its home")
		}
		time.Sleep(10 * time.Minute)
		if n := r.settled().Size; n != 0 {
			r.Errorf("size %d after the session's end, want 0", n)
		}
	})
}

// storm keeps callers busy on the pool until stop; it gives how many calls there
// were and those that failed.
func (r *rig) storm(callers int, tool string) (stop func() (int, []error)) {
	var calls atomic.Int64
	var mu sync.Mutex
	var failed []error
	var over atomic.Bool
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for !over.Load() {
				_, err := r.do(r.Context(), host.Request{Tool: tool})
				if calls.Add(1); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	return func() (int, []error) {
		over.Store(true)
		group.Wait()
		return int(calls.Load()), failed
	}
}

// leastReady watches the ready workers of the first pool for a while.
func (r *rig) leastReady(d time.Duration) int {
	least := r.readyNow()
	for range d / (10 * time.Millisecond) {
		time.Sleep(10 * time.Millisecond)
		least = min(least, r.readyNow())
	}
	return least
}

func TestRecyclingByCallsFailsNoCallAndLeavesNoGap(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size = 4
		c.Pools[0].Recycle.MaxCalls = 10
		l.OnLaunch = launchTakes(700 * time.Millisecond)
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "quick"}, Run: takes(30 * time.Millisecond)})
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		stop := r.storm(6, "quick")
		least := r.leastReady(20 * time.Second)
		calls, failed := stop()
		if least < 4 {
			r.Errorf("%d workers were ready at times, want 4 always", least)
		}
		if len(failed) > 0 {
			r.Errorf("%d of %d calls failed, such as: %v", len(failed), calls, failed[0])
		}
		if n := r.launcher.Launches(); n < 20 || !r.hasEvent(host.EventWorkerRecycled) {
			r.Errorf("%d workers in 20s: they aren't recycled", n)
		}
		time.Sleep(time.Minute)
		if n := len(r.launcher.Live()); n != 4 {
			r.Errorf("%d workers live, want 4", n)
		}
		for _, w := range r.launcher.Workers() {
			if !w.Stopped() && w.Err() != nil {
				r.Errorf("worker %s ended by %v", w.Spec.Worker, w.Err())
			}
		}
	})
}

func TestWorkersAreRecycledByAgeNotAllAtOnce(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Size = 8
		c.Pools[0].Recycle = host.Recycle{MaxAge: time.Hour, Jitter: 0.5}
		l.OnLaunch = launchTakes(time.Second)
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		time.Sleep(29 * time.Minute)
		if n := r.launcher.Launches(); n != 8 {
			r.Errorf("%d launches before half of the age, want 8", n)
		}
		first := r.launcher.Workers()
		time.Sleep(32 * time.Minute)
		for _, w := range first {
			if !w.Stopped() {
				r.Errorf("worker %s is over an hour old", w.Spec.Worker)
			}
		}
		if n := r.readyNow(); n != 8 {
			r.Errorf("%d ready, want 8", n)
		}
	})
}

func TestWorkerOverItsMemoryIsReplacedAndItsCallsHaveAGrace(t *testing.T) {
	var fat atomic.Pointer[hosttest.Worker]
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.CallTimeout = time.Hour
		c.Pools[0].Recycle = host.Recycle{MaxMemory: 1 << 30, MemoryGrace: 15 * time.Second}
		l.Weigh = func(w *hosttest.Worker) uint64 {
			if w == fat.Load() {
				return 2 << 30
			}
			return 1 << 20
		}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		ended := r.start(r.Context(), host.Request{Tool: "busy"})
		var first []*hosttest.Worker // the busy one, then the other
		for _, w := range r.Workers("") {
			first = slices.Insert(first, len(first)*(1-w.Busy), r.launcher.Worker(w.ID))
		}
		cut := r.start(r.Context(), host.Request{Tool: "stuck"})
		fat.Store(first[0])
		if err := <-ended; err != nil {
			r.Errorf("a call that ends within the grace: %v", err)
		}
		time.Sleep(10 * time.Second)
		if !first[0].Stopped() || first[1].Stopped() {
			r.Error("the wrong worker was replaced")
		}
		fat.Store(first[1])
		t0 := time.Now()
		r.wantReason(<-cut, errdefs.WorkerCrashed)
		if took := time.Since(t0); took < 15*time.Second || took > 21*time.Second {
			r.Errorf("the call had %s", took)
		}
		if n := r.readyNow(); n != 2 {
			r.Errorf("%d ready, want 2", n)
		}
	})
}

func TestPinnedWorkerIsNotRecycledBeforeTwiceItsAge(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) {
		c.Pools[0].Size = 1
		c.Pools[0].Affinity = host.AffinityStrictQueue
		c.Pools[0].SessionTTL = -1
		c.Pools[0].Recycle = host.Recycle{MaxAge: time.Hour, Jitter: -1}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "echo", Session: "s"})
		time.Sleep(110 * time.Minute)
		if n := r.launcher.Launches(); n != 1 {
			r.Errorf("%d launches, want 1: a session is pinned to the worker", n)
		}
		time.Sleep(11 * time.Minute)
		if n := r.launcher.Launches(); n != 2 {
			r.Errorf("%d launches after twice the age, want 2", n)
		}
	})
}

func TestFailingPoolDoesNotHoldUpAHealthyOne(t *testing.T) {
	var launched atomic.Int64 // when the healthy pool's launch began
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.LaunchLimit = 2
		c.Pools[0].Size = 1
		c.Pools = append(c.Pools, host.PoolConfig{Name: "sick", Command: host.Command{Path: "fake"}, Size: 50})
		l.OnLaunch = func(ctx context.Context, s host.Spec, _ int) error {
			if s.Pool == "ml" {
				launched.Store(time.Now().UnixNano())
				return nil
			}
			if err := slowly(3*time.Second)(ctx, s); err != nil {
				return err
			}
			return errdefs.New(errdefs.StartFailed, "no such module")
		}
	}
	inBubble(t, change, func(r *rig) {
		if err := r.ReadyPool(r.Context(), "ml", 0); err != nil {
			r.Fatal(err)
		}
		for i := range 20 {
			time.Sleep(1700 * time.Millisecond)
			t0 := time.Now()
			r.launcher.Live()[0].Crash()
			for synctest.Wait(); r.Status().Pools[0].Ready == 0; synctest.Wait() {
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(t0); took > 3*time.Second+200*time.Millisecond {
				r.Errorf("replacement %d took %s, more than one start of the other pool", i, took)
			}
			time.Sleep(time.Minute) // the backoff is forgotten
		}
		sick := r.Status().Pools[1]
		if sick.Ready != 0 || sick.LastStartError == "" {
			r.Errorf("the sick pool: %d ready, %q", sick.Ready, sick.LastStartError)
		}
	})
}

func TestWorkersStartInBatches(t *testing.T) {
	var mu sync.Mutex
	var at []time.Duration
	t0 := time.Time{}
	change := func(c *host.Config, l *hosttest.Launcher) {
		t0 = time.Now()
		c.LaunchLimit = 100
		c.Pools[0].Size, c.Pools[0].StartBatch, c.Pools[0].StartDelay = 7, 3, 500*time.Millisecond
		l.OnLaunch = func(ctx context.Context, s host.Spec, _ int) error {
			mu.Lock()
			at = append(at, time.Since(t0))
			mu.Unlock()
			return slowly(time.Second)(ctx, s)
		}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		want := []time.Duration{0, 0, 0, 1500 * time.Millisecond, 1500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}
		if !slices.Equal(at, want) {
			r.Errorf("launches at %v, want %v", at, want)
		}
	})
}

func TestOnePoolCanBeAwaited(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		c.Pools = append(c.Pools, host.PoolConfig{Name: "slow", Command: host.Command{Path: "fake"}, Size: 2})
		c.LaunchLimit = 4
		var n atomic.Int64
		l.OnLaunch = func(ctx context.Context, s host.Spec, _ int) error {
			if s.Pool == "slow" {
				return slowly(time.Duration(n.Add(1))*10*time.Second)(ctx, s)
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		await := func(pool string, n int) time.Duration {
			return timed(func() {
				if err := r.ReadyPool(r.Context(), pool, n); err != nil {
					r.Errorf("%s: %v", pool, err)
				}
			})
		}
		if took := await("ml", 0); took != 0 {
			r.Errorf("pool ml took %s", took)
		}
		if one, all := await("slow", 1), await("slow", 0); one != 10*time.Second || all != 10*time.Second {
			r.Errorf("one worker of pool slow took %s, all %s more", one, all)
		}
		r.wantReason(r.ReadyPool(r.Context(), "none", 0), errdefs.PoolNotFound)
	})
}

func TestSurvivorsOfAGrownPoolKeepTheirSeats(t *testing.T) {
	s := newSpy()
	grown := scaled(host.Scale{Min: 1, Max: 4}, 0)
	change := func(c *host.Config, l *hosttest.Launcher) { grown(c, l); c.Registry = s }
	inBubble(t, change, func(r *rig) {
		r.ready()
		var all []<-chan error
		for range 4 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "busy"}))
		}
		for _, done := range all {
			<-done
		}
		next := r.restart(s, grown)
		next.ready()
		if n, st := next.launcher.Launches(), next.settled(); n != 0 || st.Ready != 4 || st.Size != 4 {
			r.Errorf("%d launches, %d of %d ready; want all four survivors", n, st.Ready, st.Size)
		}
		time.Sleep(3 * time.Minute)
		if st := next.settled(); st.Size != 1 {
			r.Errorf("size %d after three idle minutes, want 1", st.Size)
		}
	})
}

// TestShutdownInTheMiddleOfAChangeLeavesNothing relies on inBubble, which fails when
// a worker or a goroutine outlives Run.
func TestShutdownInTheMiddleOfAChangeLeavesNothing(t *testing.T) {
	t.Parallel()
	for i, begin := range []func(r *rig){
		func(r *rig) { go func() { _ = r.Reload(r.Context(), "", host.ReloadOptions{}) }() },
		func(r *rig) { go func() { _ = r.DrainWorker(r.Context(), r.Workers("")[0].ID) }() },
		func(r *rig) { _ = r.start(r.Context(), host.Request{Tool: "busy"}) },
		func(r *rig) {
			p := r.config()
			p.Size = 1
			go func() { _, _ = r.Reconfigure(r.Context(), []host.PoolConfig{p}) }()
		},
	} {
		for _, after := range []time.Duration{0, time.Second, 2500 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d after %s", i, after), func(t *testing.T) {
				change := func(c *host.Config, l *hosttest.Launcher) {
					c.Pools[0].Size = 3
					c.Pools[0].Recycle.MaxCalls = 2
					l.OnLaunch = launchTakes(2 * time.Second)
				}
				inBubble(t, change, func(r *rig) {
					r.ready()
					stop := r.storm(2, "work")
					defer stop()
					begin(r)
					time.Sleep(after)
					synctest.Wait()
				})
			})
		}
	}
}

// config is what the rig's first pool was configured with.
func (r *rig) config() host.PoolConfig {
	return host.PoolConfig{Name: "ml", Command: host.Command{Path: "fake", Adapter: "fake.py"}, Size: 2}
}
