package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// restart ends a host that leaves its workers, and runs the next on them, with the
// same registry; change alters its configuration.
func (r *rig) restart(s *spy, change func(*host.Config, *hosttest.Launcher)) *rig {
	r.Helper()
	r.Leave()
	if err := r.stop(); err != nil {
		r.Fatalf("Run: %v", err)
	}
	s.counts()
	return newRig(r.T, func(c *host.Config, l *hosttest.Launcher) {
		l.Inherit(r.launcher)
		c.Registry = s
		if change != nil {
			change(c, l)
		}
	})
}

// inSession runs a call in a session and says where it ran.
func (r *rig) inSession(id host.SessionID) *host.Call {
	r.Helper()
	c := r.open(host.Request{Tool: "echo", Session: id, MustExist: true})
	if _, err := c.Recv(r.Context()); err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *rig) sessionsOf() []host.Session {
	r.Helper()
	all, err := r.Sessions(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return all
}

func (r *rig) ready() time.Duration {
	r.Helper()
	return timed(func() {
		if err := r.Ready(r.Context()); err != nil {
			r.Fatalf("Ready: %v", err)
		}
	})
}

func slowly(d time.Duration) func(context.Context, host.Spec) error {
	return func(ctx context.Context, _ host.Spec) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestSessionsKeepHomeAndEpochOverARestart(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		for _, id := range []host.SessionID{"a", "b", "c"} {
			r.must(host.Request{Tool: "echo", Session: id})
		}
		before := r.sessionsOf()
		next := r.restart(s, nil)
		next.ready()
		if n := next.launcher.Launches(); n > 0 {
			r.Errorf("%d workers were launched beside the survivors", n)
		}
		for _, was := range before {
			c := next.inSession(was.ID)
			if c.Worker() != was.Home || !c.Home() {
				r.Errorf("session %s ran on %s (home %t), want its home %s", was.ID, c.Worker(), c.Home(), was.Home)
			}
			if pid, want := next.launcher.Worker(c.Worker()).Description().Process, r.launcher.Worker(was.Home).Description().Process; pid != want {
				r.Errorf("process %+v, want %+v", pid, want)
			}
		}
		if d := cmp.Diff(before, next.sessionsOf()); d != "" {
			r.Errorf("the registry (-before +after):\n%s", d)
		}
		next.wantAsked(s, map[string]int{})
		if got := next.Status().Sessions; got != 3 {
			r.Errorf("%d sessions in use, want 3", got)
		}
	})
}

// TestSurvivorsAreSeatedBeforeAnyCall: a call that comes while its session's home is
// being reattached doesn't take it for dead.
func TestSurvivorsAreSeatedBeforeAnyCall(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "echo", Session: "s"})
		next := r.restart(s, func(_ *host.Config, l *hosttest.Launcher) { l.OnReattach = slowly(3 * time.Second) })
		<-next.Seated()
		for _, w := range next.Workers("") {
			if w.State != host.WorkerStarting {
				r.Errorf("worker %s is %s, want starting", w.ID, w.State)
			}
		}
		if took := timed(func() { next.inSession("s") }); took != 3*time.Second {
			r.Errorf("the call took %s, want the 3s of reattaching", took)
		}
		next.wantAsked(s, map[string]int{})
	})
}

func TestTimeToLiveBeginsAnewAfterARestart(t *testing.T) {
	s := newSpy()
	brief := func(c *host.Config, _ *hosttest.Launcher) { c.SessionTTL = time.Minute }
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { withRegistry(s)(c, l); brief(c, l) }, func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "echo", Session: "used"})
		r.must(host.Request{Tool: "echo", Session: "unused"})
		<-time.After(50 * time.Second)
		next := r.restart(s, brief)
		<-time.After(50 * time.Second)
		next.inSession("used")
		<-time.After(40 * time.Second) // 90 s after the restart, 140 after its last use
		synctest.Wait()
		next.wantAsked(s, map[string]int{"close": 1})
		next.fails(host.Request{Tool: "echo", Session: "unused"}, errdefs.SessionExpired)
		next.inSession("used")
	})
}

// TestSurvivorThatCannotGoOnIsReplacedAtOnce: it isn't the adapter's fault, so there
// is no backoff, and the others don't wait.
func TestSurvivorThatCannotGoOnIsReplacedAtOnce(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "echo", Session: "s"})
		before := r.sessionsOf()[0]
		next := r.restart(s, func(_ *host.Config, l *hosttest.Launcher) {
			l.OnReattach = func(_ context.Context, spec host.Spec) error {
				if spec.Worker == before.Home {
					return errdefs.New(errdefs.StartFailed, "it doesn't answer")
				}
				return nil
			}
		})
		if took := next.ready(); took != 0 {
			r.Errorf("ready after %s, want at once", took)
		}
		if n := next.launcher.Launches(); n != 1 {
			r.Errorf("%d launches, want 1", n)
		}
		for range 3 {
			c := next.inSession("s")
			if !c.Home() || c.Worker() == before.Home {
				r.Errorf("ran on %s, home %t; want a new home", c.Worker(), c.Home())
			}
		}
		next.wantAsked(s, map[string]int{"bind": 1})
		if after := next.sessionsOf()[0]; after.Epoch <= before.Epoch {
			r.Errorf("epoch %d after %d", after.Epoch, before.Epoch)
		}
	})
}

func TestSurvivorsWithoutASeatAreForsaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(*host.PoolConfig)
		forsaken int
		launched int
		sessions int
	}{
		"smaller pool": {func(p *host.PoolConfig) { p.Size = 1 }, 2, 0, 1},
		"unknown pool": {func(p *host.PoolConfig) { p.Name = "other" }, 3, 3, 0},
		"larger pool":  {func(p *host.PoolConfig) { p.Size = 5 }, 0, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpy()
			three := func(cfg *host.Config, l *hosttest.Launcher) { withRegistry(s)(cfg, l); cfg.Pools[0].Size = 3 }
			inBubble(t, three, func(r *rig) {
				r.ready()
				r.must(host.Request{Tool: "echo", Session: "s"})
				next := r.restart(s, func(cfg *host.Config, _ *hosttest.Launcher) {
					cfg.Pools[0].Size = 3
					c.change(&cfg.Pools[0])
				})
				next.ready()
				if got := next.launcher.Forsaken(); len(got) != c.forsaken {
					r.Errorf("forsaken %v, want %d", got, c.forsaken)
				}
				if got := next.launcher.Launches(); got != c.launched {
					r.Errorf("%d launches, want %d", got, c.launched)
				}
				if got := next.Status().Sessions; got != c.sessions {
					r.Errorf("%d sessions in use, want %d", got, c.sessions)
				}
				if left := next.launcher.Survivors(); len(left) > 0 {
					r.Errorf("%v was neither reattached nor forsaken", left)
				}
			})
		})
	}
}

func TestReadyWaitsForSurvivorsAndForThoseInTheirPlace(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		next := r.restart(s, func(_ *host.Config, l *hosttest.Launcher) {
			lost := l.Survivors()[0].Worker
			l.OnReattach = func(ctx context.Context, spec host.Spec) error {
				if err := slowly(2*time.Second)(ctx, spec); err != nil || spec.Worker != lost {
					return err
				}
				return errdefs.New(errdefs.StartFailed, "it doesn't answer")
			}
			l.OnLaunch = func(ctx context.Context, spec host.Spec, _ int) error { return slowly(3*time.Second)(ctx, spec) }
		})
		if took := next.ready(); took != 5*time.Second {
			r.Errorf("ready after %s, want 2s of reattaching and 3s of a launch", took)
		}
	})
}

func TestLeaveLetsCallsFinishAndThenCutsThemShort(t *testing.T) {
	brief := func(c *host.Config, _ *hosttest.Launcher) { c.LeaveWait = 2 * time.Second }
	inBubble(t, brief, func(r *rig) {
		r.ready()
		work := r.start(r.Context(), host.Request{Tool: "work"})
		busy := r.start(r.Context(), host.Request{Tool: "busy"})
		r.Leave()
		var late <-chan error
		took := timed(func() {
			ended := make(chan error, 1)
			go func() { ended <- r.stop() }()
			synctest.Wait()
			late = r.start(r.Context(), host.Request{Tool: "echo"})
			if err := <-ended; err != nil {
				r.Errorf("Run: %v", err)
			}
		})
		if err := <-work; err != nil {
			r.Errorf("a call of 1s: %v", err)
		}
		r.wantRan(r.wantReason(<-busy, errdefs.Draining), true)
		r.wantRan(r.wantReason(<-late, errdefs.Draining), false)
		if took != 2*time.Second {
			r.Errorf("Run ended after %s, want LeaveWait", took)
		}
		left := r.launcher.Left()
		if len(left) != 2 {
			r.Errorf("%d workers were left, want 2", len(left))
		}
		for _, w := range left {
			if w.Stopped() {
				r.Errorf("worker %s was asked to stop", w.Spec.Worker)
			}
		}
	})
}

// TestLeaveGivesUpWorkersThatAreStarting: nobody could go on with them.
func TestLeaveGivesUpWorkersThatAreStarting(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(ctx context.Context, spec host.Spec, n int) error {
			if n == 1 {
				return nil
			}
			return slowly(time.Hour)(ctx, spec)
		}
	}
	inBubble(t, change, func(r *rig) {
		synctest.Wait()
		r.Leave()
		if took := timed(func() { _ = r.stop() }); took != 0 {
			r.Errorf("Run ended after %s, want at once", took)
		}
		if got := len(r.launcher.Left()); got != 1 {
			r.Errorf("%d workers were left, want the one that was ready", got)
		}
	})
}

// unreadable is a registry that can't be read.
type unreadable struct{ *host.MemoryRegistry }

func (unreadable) Sessions(context.Context) ([]host.Session, error) {
	return nil, errdefs.New(errdefs.Internal, "the log is torn")
}

// TestHostThatCannotReadTheRegistryEndsAndHangsNobody: and takes no survivor with it.
func TestHostThatCannotReadTheRegistryEndsAndHangsNobody(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		next := r.restart(s, func(c *host.Config, _ *hosttest.Launcher) { c.Registry = unreadable{s.MemoryRegistry} })
		synctest.Wait()
		r.wantReason(next.stop(), errdefs.Internal)
		if err := next.Ready(r.Context()); err == nil {
			r.Error("Ready gives nothing to worry about")
		}
		next.wantRan(next.fails(host.Request{Tool: "echo"}, errdefs.Draining), false)
		select {
		case <-next.Seated():
			r.Error("Seated is closed, and nothing is in its place")
		default:
		}
		if got := next.launcher.Survivors(); len(got) != 2 || len(next.launcher.Forsaken()) > 0 {
			r.Errorf("survivors %v and %v forsaken, want 2 and none", got, next.launcher.Forsaken())
		}
		again := next.restartAfter(s, r.launcher)
		if again.ready(); again.launcher.Launches() > 0 {
			r.Error("the survivors are lost")
		}
	})
}

// restartAfter runs a host on what another's launcher has left.
func (r *rig) restartAfter(s *spy, last *hosttest.Launcher) *rig {
	r.Helper()
	return newRig(r.T, func(c *host.Config, l *hosttest.Launcher) {
		l.Inherit(last)
		c.Registry = s
	})
}

func TestFullDiskIsNoFaultOfTheAdapter(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			e := errdefs.New(errdefs.DiskFull, "no room for a record")
			e.Hint = "make room"
			return e
		}
	}
	inBubble(t, change, func(r *rig) {
		e := r.wantReason(r.Ready(r.Context()), errdefs.DiskFull)
		if e.Hint != "make room" || e.Where.Pool != "ml" {
			r.Errorf("%+v lacks its hint or pool", e)
		}
	})
}

func TestLeaveTakesAWorkerAlongThatDoesNotObey(t *testing.T) {
	brief := func(c *host.Config, _ *hosttest.Launcher) { c.LeaveWait = 2 * time.Second }
	inBubble(t, brief, func(r *rig) {
		r.ready()
		stuck := r.open(host.Request{Tool: "stuck"})
		r.Leave()
		if err := r.stop(); err != nil {
			r.Error(err)
		}
		for _, w := range r.launcher.Left() {
			if w.Spec.Worker == stuck.Worker() {
				r.Error("the next host gets a worker whose slot is taken")
			}
		}
		if n := len(r.launcher.Left()); n != 1 {
			r.Errorf("%d workers were left, want the other one", n)
		}
	})
}

func TestTaintOfASurvivorCounts(t *testing.T) {
	s := newSpy()
	taint := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Barrier.Taint = time.Minute }
	inBubble(t, withRegistry(s), func(r *rig) {
		r.ready()
		next := r.restart(s, taint)
		next.ready()
		next.launcher.Live()[0].Crash()
		time.Sleep(59 * time.Second)
		if n := next.readyNow(); n != 1 {
			r.Errorf("%d ready while the seat is tainted, want 1", n)
		}
		time.Sleep(2 * time.Second)
		if n := next.readyNow(); n != 2 {
			r.Errorf("%d ready after the taint, want 2", n)
		}
	})
}
