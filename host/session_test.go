package host_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// spy is a registry that counts what it's asked, and fails when told to.
type spy struct {
	*host.MemoryRegistry

	mu    sync.Mutex // guards all below
	asked map[string]int
	fail  error
}

func newSpy() *spy { return &spy{MemoryRegistry: host.NewMemoryRegistry(0), asked: map[string]int{}} }

func (s *spy) note(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[what]++
	return s.fail
}

func (s *spy) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *spy) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = map[string]int{}
	return out
}

func (s *spy) OpenSession(ctx context.Context, x host.Session) (host.Session, error) {
	if err := s.note("open"); err != nil {
		return host.Session{}, err
	}
	return s.MemoryRegistry.OpenSession(ctx, x)
}

func (s *spy) Session(ctx context.Context, id host.SessionID) (host.Session, error) {
	if err := s.note("read"); err != nil {
		return host.Session{}, err
	}
	return s.MemoryRegistry.Session(ctx, id)
}

func (s *spy) BindSession(ctx context.Context, id host.SessionID, w host.WorkerID, from uint64) (host.Session, error) {
	if err := s.note("bind"); err != nil {
		return host.Session{}, err
	}
	return s.MemoryRegistry.BindSession(ctx, id, w, from)
}

func (s *spy) CloseSession(ctx context.Context, id host.SessionID, expired bool) error {
	if err := s.note("close"); err != nil {
		return err
	}
	return s.MemoryRegistry.CloseSession(ctx, id, expired)
}

func withRegistry(s *spy) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, _ *hosttest.Launcher) { c.Registry = s }
}

func (r *rig) wantAsked(s *spy, want map[string]int) {
	r.Helper()
	if d := cmp.Diff(want, s.counts()); d != "" {
		r.Errorf("the registry was asked (-want +got):\n%s", d)
	}
}

func TestSessionIsOpenedByItsFirstCallAndThenCostsNothing(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		first := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = first.Recv(r.Context())
		r.wantAsked(s, map[string]int{"read": 1, "open": 1})
		for range 10 {
			c := r.open(host.Request{Tool: "echo", Session: "s", MustExist: true})
			_, _ = c.Recv(r.Context())
			if c.Worker() != first.Worker() || !c.Home() {
				r.Fatalf("ran on %s (home %t), want the home %s", c.Worker(), c.Home(), first.Worker())
			}
		}
		r.wantAsked(s, map[string]int{})
		list, err := r.Sessions(r.Context())
		if err != nil || len(list) != 1 || list[0].Home != first.Worker() || list[0].TTL != time.Hour || list[0].Pool != "ml" {
			r.Errorf("sessions %+v, %v", list, err)
		}
	})
}

func TestMustExistOpensNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.wantRan(r.fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound), false)
		if s := r.Status(); s.Sessions != 0 {
			r.Errorf("%d sessions are in use", s.Sessions)
		}
		r.fails(host.Request{Tool: "echo", MustExist: true}, errdefs.InvalidArguments)
	})
}

func TestBusyHomeIsVisitedElsewhereWithoutARegistryWrite(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		first := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = first.Recv(r.Context())
		var other *host.Call // occupies the home
		for {
			other = r.open(host.Request{Tool: "busy"})
			if other.Worker() == first.Worker() {
				break
			}
			defer other.Close()
		}
		defer other.Close()
		for _, w := range r.launcher.Live() { // make room beside the home
			if w.Spec.Worker != first.Worker() {
				w.Crash()
			}
		}
		_ = s.counts()
		c := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = c.Recv(r.Context())
		if c.Home() || c.Worker() == first.Worker() {
			r.Errorf("ran on %s, home %t; want a visit elsewhere", c.Worker(), c.Home())
		}
		r.wantAsked(s, map[string]int{})
		list, _ := r.Sessions(r.Context())
		if list[0].Home != first.Worker() {
			r.Errorf("the visit moved the home to %s", list[0].Home)
		}
	})
}

func TestDeadHomeIsReboundOnce(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		first := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = first.Recv(r.Context())
		before, _ := r.Sessions(r.Context())
		r.launcher.Worker(first.Worker()).Crash()
		synctest.Wait()
		_ = s.counts()
		var c *host.Call
		for range 3 {
			c = r.open(host.Request{Tool: "echo", Session: "s"})
			_, _ = c.Recv(r.Context())
			if !c.Home() {
				r.Error("the new home isn't home")
			}
		}
		r.wantAsked(s, map[string]int{"bind": 1})
		after, _ := r.Sessions(r.Context())
		if after[0].Home != c.Worker() || after[0].Epoch <= before[0].Epoch {
			r.Errorf("from %+v to %+v", before[0], after[0])
		}
	})
}

func TestCallsOfOneSessionRunOneAtATimeInOrder(t *testing.T) {
	var order []string
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error {
			order = append(order, string(inv.Payload))
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		took := timed(func() {
			var all []<-chan error
			for _, n := range []string{"a", "b", "c"} {
				all = append(all, r.start(r.Context(), host.Request{Tool: "work", Session: "s", Payload: []byte(n)}))
			}
			if s := r.settled(); s.Queued != 2 || s.Busy != 1 {
				r.Errorf("queued %d, busy %d; want 2 and 1", s.Queued, s.Busy)
			}
			for _, done := range all {
				if err := <-done; err != nil {
					r.Error(err)
				}
			}
		})
		if d := cmp.Diff([]string{"a", "b", "c"}, order); d != "" || took != 3*time.Second {
			r.Errorf("in %s, order (-want +got):\n%s", took, d)
		}
	})
}

func TestCallThatLeavesItsSessionsQueueHoldsNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.start(r.Context(), host.Request{Tool: "work", Session: "s"})
		ctx, cancel := context.WithCancel(r.Context())
		gone := r.start(ctx, host.Request{Tool: "busy", Session: "s"})
		next := r.start(r.Context(), host.Request{Tool: "echo", Session: "s"})
		cancel()
		r.wantRan(r.wantReason(<-gone, errdefs.Cancelled), false)
		if took := timed(func() { <-next }); took != time.Second {
			r.Errorf("the next waited for %s", took)
		}
		r.start(r.Context(), host.Request{Tool: "busy", Session: "s"})
		if took := timed(func() { r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.QueueTimeout) }); took != 5*time.Second {
			r.Errorf("queue_timeout after %s", took)
		}
	})
}

func TestQueueSizeBoundsThoseWhoWaitForTheirTurn(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].QueueSize = 2 }
	inBubble(t, change, func(r *rig) {
		for range 3 {
			r.start(r.Context(), host.Request{Tool: "work", Session: "s"})
		}
		r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.QueueFull)
		r.must(host.Request{Tool: "echo"}) // needn't wait
	})
}

func TestExpiredSessionIsNeverSilentlyANewOne(t *testing.T) {
	s := newSpy()
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Registry, c.SessionTTL = s, time.Minute }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		time.Sleep(time.Minute)
		r.must(host.Request{Tool: "echo", Session: "s"}) // exactly its time, and renewed
		time.Sleep(time.Minute + time.Nanosecond)
		for range 2 {
			r.wantRan(r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.SessionExpired), false)
		}
		time.Sleep(time.Hour)
		r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.SessionExpired)
	})
}

func TestRunningCallKeepsItsSessionAlive(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.SessionTTL = 5 * time.Second }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "busy", Session: "s"}) // ten seconds
		time.Sleep(5 * time.Second)
		r.must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestUnusedSessionsAreSwept(t *testing.T) {
	s := newSpy()
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Registry, c.SessionTTL = s, 40*time.Second }
	inBubble(t, change, func(r *rig) {
		for i := range 300 {
			r.must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprint("s", i))})
		}
		s.failing(errdefs.New(errdefs.NoQuorum, "no leader"))
		time.Sleep(time.Minute)
		if n := r.Status().Sessions; n != 300 {
			r.Errorf("%d sessions are in use while the registry can't be told, want 300", n)
		}
		r.fails(host.Request{Tool: "echo", Session: "s7"}, errdefs.SessionExpired)
		s.failing(nil)
		time.Sleep(time.Minute)
		list, _ := r.Sessions(r.Context())
		if n := r.Status().Sessions; n != 0 || len(list) != 0 {
			r.Errorf("%d sessions are in use, %d recorded", n, len(list))
		}
		for _, w := range r.Workers("") {
			if w.Sessions != 0 {
				r.Errorf("worker %s still counts %d", w.ID, w.Sessions)
			}
		}
	})
}

func TestSessionWithoutATimeToLiveStays(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.SessionTTL = -1 }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		time.Sleep(7 * 24 * time.Hour)
		r.must(host.Request{Tool: "echo", Session: "s", MustExist: true})
	})
}

func TestTooManySessionsAreRefused(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.MaxSessions = 2 }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "a"})
		r.must(host.Request{Tool: "echo", Session: "b"})
		r.wantRan(r.fails(host.Request{Tool: "echo", Session: "c"}, errdefs.SessionQuota), false)
		if err := r.CloseSession(r.Context(), "a"); err != nil {
			r.Error(err)
		}
		r.must(host.Request{Tool: "echo", Session: "c"})
	})
}

func TestClosedSessionMayBeOpenedAgain(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		if err := errors.Join(r.CloseSession(r.Context(), "s"), r.CloseSession(r.Context(), "s"), r.CloseSession(r.Context(), "never")); err != nil {
			r.Error(err)
		}
		r.fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound)
		r.must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestCloseWaitsForEarlierCallsAndLaterOnesOpenAnew(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		running := r.start(r.Context(), host.Request{Tool: "work", Session: "s"})
		closed := make(chan error, 1)
		go func() { closed <- r.CloseSession(r.Context(), "s") }()
		synctest.Wait()
		later := r.start(r.Context(), host.Request{Tool: "echo", Session: "s"})
		if err := errors.Join(<-running, <-closed, <-later); err != nil {
			r.Error(err)
		}
		r.wantAsked(s, map[string]int{"read": 2, "open": 2, "close": 1})
		if n := r.Status().Sessions; n != 1 {
			r.Errorf("%d sessions", n)
		}
	})
}

func TestFailedOpeningLeavesNoSession(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		s.failing(errdefs.New(errdefs.NoQuorum, "no leader"))
		r.wantRan(r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.NoQuorum), false)
		if st := r.Status(); st.Sessions != 0 || r.settled().Busy != 0 {
			r.Errorf("status %+v", st)
		}
		s.failing(nil)
		r.must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestSessionThatTheRegistryKnowsIsTakenOver(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		_, err := s.MemoryRegistry.OpenSession(t.Context(), host.Session{ID: "s", Pool: "ml", Home: "gone-1", TTL: time.Hour})
		if err != nil {
			r.Fatal(err)
		}
		c := r.open(host.Request{Tool: "echo", Session: "s", MustExist: true})
		_, _ = c.Recv(r.Context())
		r.wantAsked(s, map[string]int{"read": 1, "bind": 1})
		if list, _ := r.Sessions(r.Context()); list[0].Home != c.Worker() {
			r.Errorf("home %s, want %s", list[0].Home, c.Worker())
		}
	})
}

func TestMemoryRegistryKeepsTheContract(t *testing.T) {
	t.Parallel()
	hosttest.TestRegistry(t, func(*testing.T) host.Registry { return host.NewMemoryRegistry(0) })
	hosttest.TestStateRegistry(t, func(*testing.T) hosttest.SessionsWithState { return host.NewMemoryRegistry(0) })
	hosttest.TestProcessRegistry(t, func(*testing.T) host.ProcessRegistry { return host.NewMemoryRegistry(0) })
}

func TestMemoryRegistryForgetsTheOldestThatExpired(t *testing.T) {
	t.Parallel()
	r := host.NewMemoryRegistry(2)
	for _, id := range []host.SessionID{"a", "b", "c"} {
		if _, err := r.OpenSession(t.Context(), host.Session{ID: id}); err != nil {
			t.Fatal(err)
		}
		if err := r.CloseSession(t.Context(), id, true); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[host.SessionID]errdefs.Reason{"a": errdefs.SessionNotFound, "b": errdefs.SessionExpired, "c": errdefs.SessionExpired} {
		if _, err := r.Session(t.Context(), id); errdefs.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
}

func TestMemoryRegistryRefusesMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	r := host.NewMemoryRegistry(1)
	if _, err := r.OpenSession(t.Context(), host.Session{ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenSession(t.Context(), host.Session{ID: "b"}); errdefs.ReasonOf(err) != errdefs.SessionQuota {
		t.Errorf("got %v", err)
	}
}

func TestSessionsHaveTheirHomesSpreadOverTheWorkers(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { c.Pools[0].Size, l.Slots = 3, 4 }
	inBubble(t, change, func(r *rig) {
		r.ready()
		if p := r.settled(); p.Ready != 3 { // ready is a pool whose first worker is, and that one gets all sessions till then
			r.Fatalf("%d workers are ready", p.Ready)
		}
		for i := range 9 {
			r.must(host.Request{Tool: "echo"}) // without a session: it may go where it likes
			synctest.Wait() // its slot is free
			r.must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprint("s-", i))})
			synctest.Wait()
		}
		for _, w := range r.Workers("") {
			if w.Sessions != 3 {
				r.Errorf("worker %s is the home of %d sessions, of 9 at 3 workers", w.ID, w.Sessions)
			}
		}
	})
}
