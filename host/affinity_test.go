package host_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// opened opens a session and gives its home.
func (r *rig) opened(req host.Request) host.WorkerID {
	r.Helper()
	req.Tool = "echo"
	c := r.open(req)
	if _, err := c.Recv(r.Context()); err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
	return c.Worker()
}

// occupyAlone has a worker run a call of ten seconds; the other ones stay free.
func (r *rig) occupyAlone(w host.WorkerID) {
	r.Helper()
	var others []*host.Call
	for {
		c := r.open(host.Request{Tool: "busy"})
		if c.Worker() == w {
			r.Cleanup(c.Close)
			break
		}
		others = append(others, c)
	}
	for _, c := range others {
		c.Close()
	}
	synctest.Wait()
}

func TestStrictCallWaitsForItsHomeAlone(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].QueueTimeout = time.Minute }, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue})
		r.occupyAlone(home)
		took := timed(func() {
			c := r.open(host.Request{Tool: "echo", Session: "s"})
			defer c.Close()
			if c.Worker() != home || !c.Home() {
				r.Errorf("ran on %s, home %t; want %s", c.Worker(), c.Home(), home)
			}
		})
		if took != 10*time.Second {
			r.Errorf("waited %s, want the ten seconds that its home is busy", took)
		}
	})
}

func TestStrictCallWaitsForNoLongerThanTheQueueTimeout(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue})
		r.occupyAlone(home)
		took := timed(func() {
			e := r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.QueueTimeout)
			if !strings.Contains(e.Message, string(home)) {
				r.Errorf("message %q doesn't name the home", e.Message)
			}
		})
		if took != 5*time.Second {
			r.Errorf("took %s, want 5 s", took)
		}
	})
}

func TestFailFastCallFailsAtOnceWhileItsHomeIsBusy(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictFailFast})
		r.must(host.Request{Tool: "echo", Session: "s"})
		r.occupyAlone(home)
		took := timed(func() { r.wantRan(r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.WorkerBusy), false) })
		if took != 0 {
			r.Errorf("took %s", took)
		}
	})
}

func TestFailFastCallFailsAtOnceWhileItsSessionRunsAnother(t *testing.T) {
	inBubble(t, func(_ *host.Config, l *hosttest.Launcher) { l.Slots = 2 }, func(r *rig) {
		r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictFailFast})
		r.start(r.Context(), host.Request{Tool: "work", Session: "s"})
		took := timed(func() { r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.WorkerBusy) })
		if took != 0 {
			r.Errorf("took %s", took)
		}
	})
}

func TestStrictSessionIsUnavailableOnceItsHomeIsGoneUntilItIsClosed(t *testing.T) {
	s := newSpy()
	inBubble(t, withRegistry(s), func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue})
		r.launcher.Worker(home).Crash()
		time.Sleep(time.Second)
		_ = s.counts()
		for range 2 {
			took := timed(func() {
				r.wantRan(r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.SessionWorkerUnavailable), false)
			})
			if took != 0 {
				r.Errorf("took %s", took)
			}
		}
		r.wantAsked(s, map[string]int{})
		if err := r.CloseSession(r.Context(), "s"); err != nil {
			r.Fatal(err)
		}
		r.must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestCallsThatWaitForAHomeAreToldAtOnceThatItIsGone(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].QueueTimeout = time.Minute }, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue, Concurrent: true})
		r.occupyAlone(home)
		waiting := []<-chan error{}
		for range 3 {
			waiting = append(waiting, r.start(r.Context(), host.Request{Tool: "echo", Session: "s"}))
		}
		took := timed(func() {
			r.launcher.Worker(home).Crash()
			for _, done := range waiting {
				r.wantRan(r.wantReason(<-done, errdefs.SessionWorkerUnavailable), false)
			}
		})
		if took != 0 {
			r.Errorf("told after %s", took)
		}
		if s := r.settled(); s.Queued != 0 {
			r.Errorf("%d still wait", s.Queued)
		}
	})
}

func TestCallMayBeStricterThanItsSessionAndNotWeaker(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		home := r.opened(host.Request{Session: "hint"})
		r.opened(host.Request{Session: "strict", Affinity: host.AffinityStrictQueue})
		r.fails(host.Request{Tool: "echo", Session: "strict", Affinity: host.AffinityHint}, errdefs.InvalidArguments)
		r.must(host.Request{Tool: "echo", Session: "strict", Affinity: host.AffinityStrictFailFast})
		r.occupyAlone(home)
		r.fails(host.Request{Tool: "echo", Session: "hint", Affinity: host.AffinityStrictFailFast}, errdefs.WorkerBusy)
		r.must(host.Request{Tool: "echo", Session: "hint"})
	})
}

func TestSessionsHaveThePoolsAffinityUnlessTheirFirstCallSays(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Affinity = host.AffinityStrictQueue }, func(r *rig) {
		r.opened(host.Request{Session: "a"})
		r.opened(host.Request{Session: "b", Affinity: host.AffinityHint, Concurrent: true})
		list, err := r.Sessions(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		if list[0].Affinity != host.AffinityStrictQueue || list[0].Concurrent || list[1].Affinity != host.AffinityHint || !list[1].Concurrent {
			r.Errorf("recorded %+v", list)
		}
	})
}

func TestStrictSessionThatNothingReachedOpensElsewhere(t *testing.T) {
	first := true
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnStart = func(w *hosttest.Worker, _ host.Invocation) error {
			if first {
				first = false
				return errdefs.New(errdefs.WorkerCrashed, "worker %s is gone", w.Spec.Worker)
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue})
		list, _ := r.Sessions(r.Context())
		if list[0].Home != home {
			r.Errorf("home %s, ran on %s", list[0].Home, home)
		}
		r.must(host.Request{Tool: "echo", Session: "s"})
	})
}

// TestPinnedAndSharedCallsShareAWorker has both kinds wait for the only worker: each
// flow gets its turn, whichever kind floods.
func TestPinnedAndSharedCallsShareAWorker(t *testing.T) {
	var s starts
	inBubble(t, quick(&s, func(c *host.PoolConfig) { c.Size = 1 }), func(r *rig) {
		r.opened(host.Request{Session: "p", Affinity: host.AffinityStrictQueue, Concurrent: true})
		all := []<-chan error{r.start(r.Context(), host.Request{Tool: "work", Payload: []byte("work")})}
		add := func(n int, req host.Request) {
			for range n {
				req.Tool = "quick"
				all = append(all, r.start(r.Context(), req))
			}
		}
		add(4, host.Request{Session: "p", Payload: []byte("p")})
		add(3, host.Request{Caller: "a", Payload: []byte("a")})
		add(3, host.Request{Caller: "b", Payload: []byte("b")})
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if d := cmp.Diff(strings.Split(" work p a b p a b p a b p", " "), s.all()); d != "" {
			r.Errorf("order (-want +got):\n%s", d)
		}
	})
}

func TestPinnedCallsOfAHigherClassDoNotStarveOthers(t *testing.T) {
	var s starts
	inBubble(t, quick(&s, func(c *host.PoolConfig) { c.Size = 1 }), func(r *rig) {
		r.opened(host.Request{Session: "p", Affinity: host.AffinityStrictQueue, Concurrent: true})
		all := []<-chan error{r.start(r.Context(), host.Request{Tool: "work", Payload: []byte("work")})}
		for range 40 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "quick", Session: "p", Payload: []byte("p"), Priority: host.PriorityHigh}))
		}
		all = append(all, r.start(r.Context(), host.Request{Tool: "quick", Payload: []byte("other")}))
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if got := s.all(); got[2+16] != "other" {
			r.Errorf("order %v; want the other one after 16", got)
		}
	})
}

func TestNestedStrictCallOfASlotItHoldsItselfIsACycle(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictQueue})
		r.offer("nest", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			return r.do(ctx, host.Request{Tool: "echo", Session: "s"})
		})
		for range 100 { // until it runs on the session's home
			c := r.open(host.Request{Tool: "ask", Payload: []byte("nest")})
			_, err := c.Recv(r.Context())
			if c.Worker() == home {
				r.wantReason(err, errdefs.CallCycle)
				return
			}
			if err != nil {
				r.Fatal(err)
			}
		}
		r.Error("it never ran on the home")
	})
}
