package host_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestCallGoesToItsSessionsOwner(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		for _, via := range []string{"n1", "n2", "n3"} {
			c := n.rigs[via].open(host.Request{Tool: "echo", Session: "s", Payload: []byte(via)})
			m, err := c.Recv(n.Context())
			if err != nil || string(m.Payload) != via || !m.Last {
				n.Fatalf("via %s: %q, %v", via, m.Payload, err)
			}
			place := c.Place()
			if place.Node != "n1" || !place.Home || place.Epoch == 0 || place.Worker != c.Worker() {
				n.Errorf("via %s: runs at %+v", via, place)
			}
			if n.rigs["n1"].launcher.Worker(c.Worker()) == nil || !c.Home() || c.Tool().Name != "echo" {
				n.Errorf("via %s: worker %q, home %t, tool %q", via, c.Worker(), c.Home(), c.Tool().Name)
			}
			c.Close()
		}
		list, err := n.rigs["n3"].SessionStatuses(n.Context(), "")
		if err != nil || len(list) != 1 || list[0].Node != "n1" {
			n.Errorf("sessions: %+v, %v", list, err)
		}
	})
}

func TestChunksCrossNodesInBothDirections(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetDelay(5 * time.Millisecond)
		down := n.rigs["n2"].open(host.Request{Tool: "count", Session: "s", Stream: true})
		var got strings.Builder
		for {
			m, err := down.Recv(n.Context())
			if err != nil {
				n.Fatal(err)
			}
			if m.Last {
				break
			}
			got.Write(m.Payload)
		}
		if got.String() != "123" {
			n.Errorf("chunks %q", got.String())
		}
		up := n.rigs["n2"].open(host.Request{Tool: "join", Session: "s", Input: true})
		for _, b := range []string{"a", "b", "c"} {
			if err := up.Send(n.Context(), []byte(b)); err != nil {
				n.Fatal(err)
			}
		}
		if err := up.CloseSend(); err != nil {
			n.Fatal(err)
		}
		if m, err := up.Recv(n.Context()); err != nil || string(m.Payload) != "abc" {
			n.Errorf("%q, %v", m.Payload, err)
		}
	})
}

func TestCancelFreesTheCallerAndTheSlotOfTheOtherNode(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		ctx, cancel := context.WithCancel(n.Context())
		out := n.rigs["n2"].start(ctx, host.Request{Tool: "busy", Session: "s"})
		time.Sleep(time.Second)
		took := timed(func() {
			cancel()
			n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(<-out, errdefs.Cancelled), true)
		})
		if took > 0 {
			n.Errorf("the caller waited for %s", took)
		}
		if s := n.rigs["n1"].settled(); s.Busy != 0 || s.Open != 0 {
			n.Errorf("the owner still has %d busy slots, %d open calls", s.Busy, s.Open)
		}
	})
}

func TestDeadlineGoesAlong(t *testing.T) {
	var deadline time.Time
	change := func(id string, _ *host.Config, l *hosttest.Launcher) {
		if id == "n1" {
			l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error { deadline = inv.Deadline; return nil }
		}
	}
	bubbleOf(t, 2, change, func(n *nodes) {
		n.opened("s", "n1")
		ctx, cancel := within(3 * time.Second)
		defer cancel()
		want, _ := ctx.Deadline()
		_, err := n.rigs["n2"].do(ctx, host.Request{Tool: "busy", Session: "s"})
		n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(err, errdefs.Deadline), true)
		if !deadline.Equal(want) || !time.Now().Equal(want) {
			n.Errorf("the worker had until %s, the call ended at %s, want %s", deadline, time.Now(), want)
		}
	})
}

func TestCallWaitsForTheSessionOfADeadNode(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.fail("n1")
		after(n.T, 1250*time.Millisecond, func() { n.move("s", "n3") })
		took := timed(func() {
			if at := n.where("n2", host.Request{Tool: "echo", Session: "s"}); at != "n3" {
				n.Errorf("ran on %s", at)
			}
		})
		if took < 1250*time.Millisecond || took > 1350*time.Millisecond {
			n.Errorf("answered %s after the failure", took)
		}
	})
}

func TestCallWhoseNodeDiesMayHaveRun(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		out := n.rigs["n2"].start(n.Context(), host.Request{Tool: "busy", Session: "s"})
		n.fail("n1")
		e := n.rigs["n2"].wantReason(<-out, errdefs.HostUnreachable)
		n.rigs["n2"].wantRan(e, true)
		if e.Where.Node != "n1" || e.Where.Worker == "" {
			n.Errorf("it was at %+v", e.Where)
		}
		n.move("s", "n3")
		if got := n.runs("n3") + n.runs("n2"); got != 0 {
			n.Errorf("it ran %d times elsewhere", got)
		}
	})
}

func TestIdempotentCallOfADeadNodeRunsAgain(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"n2", "n3"} {
		t.Run(to, func(t *testing.T) {
			bubbleOf(t, 3, nil, func(n *nodes) {
				n.opened("s", "n1")
				c := n.rigs["n2"].open(host.Request{Tool: "work", Session: "s", Idempotent: true, Payload: []byte("x")})
				after(n.T, 500*time.Millisecond, func() { n.fail("n1") })
				after(n.T, 1500*time.Millisecond, func() { n.move("s", to) })
				m, err := c.Recv(n.Context())
				if err != nil || string(m.Payload) != "x" || c.Place().Node != to {
					n.Fatalf("%q from %+v, %v", m.Payload, c.Place(), err)
				}
				if got := n.runs("n2") + n.runs("n3"); got != 1 {
					n.Errorf("it ran %d times elsewhere", got)
				}
			})
		})
	}
}

func TestClosingACallWhileItIsRunAgainIsSafe(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		c := n.rigs["n2"].open(host.Request{Tool: "busy", Session: "s", Idempotent: true})
		after(n.T, 500*time.Millisecond, func() { n.fail("n1") })
		after(n.T, time.Second, func() { n.move("s", "n2") })
		after(n.T, 3*time.Second, c.Close)
		_, err := c.Recv(n.Context())
		n.rigs["n2"].wantReason(err, errdefs.Cancelled)
		if s := n.rigs["n2"].settled(); s.Busy != 0 || s.Open != 0 || s.Received != 1 {
			n.Errorf("%d busy slots, %d open calls, %d received", s.Busy, s.Open, s.Received)
		}
	})
}

func TestCallOnANodeThatHangsEndsWhenItsSessionHasMoved(t *testing.T) {
	t.Parallel()
	for name, started := range map[string]bool{"BeforeItsStart": false, "AfterItsStart": true} {
		t.Run(name, func(t *testing.T) {
			bubbleOf(t, 3, nil, func(n *nodes) {
				n.opened("s", "n1")
				var out <-chan error
				if started {
					out = n.rigs["n2"].start(n.Context(), host.Request{Tool: "busy", Session: "s"})
				}
				n.members["n1"].SetHung(true)
				if !started {
					out = n.rigs["n2"].start(n.Context(), host.Request{Tool: "busy", Session: "s"})
				}
				after(n.T, 1200*time.Millisecond, func() { n.members["n1"].SetDown(true); n.move("s", "n3") })
				var err error
				took := timed(func() { err = <-out })
				n.members["n1"].SetHung(false)
				if took > 11500*time.Millisecond || started && took > 1500*time.Millisecond {
					n.Errorf("ended after %s", took)
				}
				if !started {
					if err != nil || n.runs("n3") != 1 {
						n.Errorf("%v; it ran %d times on the new owner", err, n.runs("n3"))
					}
					return
				}
				n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(err, errdefs.Fenced), true)
			})
		})
	}
}

func TestSessionThatMovesWhileACallIsOnItsWayIsFollowed(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetDelay(20 * time.Millisecond)
		after(n.T, 10*time.Millisecond, func() { n.move("s", "n3") })
		if at := n.where("n2", host.Request{Tool: "echo", Session: "s"}); at != "n3" {
			n.Errorf("ran on %s", at)
		}
		if n.runs("n1") != 1 {
			n.Errorf("the old owner ran it")
		}
	})
}

func TestCallWaitsForALeaseThatFlaps(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		for _, via := range []string{"n1", "n2"} {
			n.members["n1"].SetLease(false)
			for i := range 3 {
				after(n.T, time.Duration(300+100*i)*time.Millisecond, func() { n.members["n1"].SetLease(i != 1) })
			}
			before := n.runs("n1")
			took := timed(func() { n.where(via, host.Request{Tool: "echo", Session: "s"}) })
			time.Sleep(time.Second)
			if took < 300*time.Millisecond || took > time.Second || n.runs("n1") != before+1 {
				n.Errorf("via %s: after %s, %d runs", via, took, n.runs("n1")-before)
			}
		}
	})
}

func TestCallThatNobodyAnswersForHasNotRun(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetLease(false)
		for via, want := range map[string]errdefs.Reason{"n1": errdefs.NoQuorum, "n2": errdefs.Deadline} {
			ctx, cancel := within(2 * time.Second)
			var err error
			took := timed(func() { _, err = n.rigs[via].do(ctx, host.Request{Tool: "echo", Session: "s"}) })
			cancel()
			e := n.rigs[via].wantReason(err, want)
			n.rigs[via].wantRan(e, false)
			if took >= 2*time.Second || took < 1750*time.Millisecond || e.Hint == "" || e.Where.Session != "s" {
				n.Errorf("via %s after %s: %v", via, took, err)
			}
		}
		ctx, cancel := context.WithCancel(n.Context())
		out := n.rigs["n2"].start(ctx, host.Request{Tool: "echo", Session: "s"})
		cancel()
		n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(<-out, errdefs.Cancelled), false)
		if n.runs("n1") != 1 {
			n.Error("it ran")
		}
	})
}

func TestNodesThatDisagreePassACallOnOnce(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		_, epoch, err := n.members["n1"].Owner(n.Context(), "s")
		if err != nil {
			n.Fatal(err)
		}
		n.members["n1"].Lag("s", n.members["n2"], epoch)
		n.members["n2"].Lag("s", n.members["n1"], epoch)
		ctx, cancel := within(time.Second)
		defer cancel()
		_, err = n.rigs["n1"].do(ctx, host.Request{Tool: "echo", Session: "s"})
		e := n.rigs["n1"].wantReason(err, errdefs.Deadline)
		n.rigs["n1"].wantRan(e, false)
		if !strings.Contains(e.Hint, "ask node n1") {
			n.Errorf("hint %q", e.Hint)
		}
		n.members["n1"].CatchUp()
		if at := n.where("n1", host.Request{Tool: "echo", Session: "s"}); at != "n1" {
			n.Errorf("ran on %s", at)
		}
		if hops := n.members["n2"].Asked(); hops < 5 || hops > 20 {
			n.Errorf("%d hops in a second", hops)
		}
		if n.members["n1"].Asked() != 0 {
			n.Error("the other node passed it on")
		}
	})
}

func TestNodeThatLagsWaitsToHearOfItsSession(t *testing.T) {
	t.Parallel()
	for name, lag := range map[string]time.Duration{"ALittle": 300 * time.Millisecond, "ForLong": 900 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bubbleOf(t, 2, nil, func(n *nodes) {
				n.opened("s", "n1")
				n.members["n1"].Lag("s", nil, 0)
				after(n.T, lag, n.members["n1"].CatchUp)
				took := timed(func() { n.where("n2", host.Request{Tool: "echo", Session: "s"}) })
				if took < lag || took > lag+150*time.Millisecond {
					n.Errorf("answered after %s", took)
				}
				if want := 1 + int(lag/(510*time.Millisecond)); n.members["n1"].Asked() != want {
					n.Errorf("asked %d times, want %d", n.members["n1"].Asked(), want)
				}
			})
		})
	}
}

func TestForwardedCallIsRefusedByWhoIsNotTheOwner(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		_, err := n.rigs["n2"].OpenForwarded(n.Context(), host.Forwarded{Request: host.Request{Tool: "echo", Session: "s"}, ID: "x", From: "n3"})
		e := n.rigs["n2"].wantReason(err, errdefs.SessionMoved)
		if n.rigs["n2"].wantRan(e, false); e.Hint != "ask node n1" || e.Where.Call != "x" {
			n.Errorf("%v", err)
		}
		n.members["n1"].SetLease(false)
		_, err = n.rigs["n1"].OpenForwarded(n.Context(), host.Forwarded{Request: host.Request{Tool: "echo", Session: "s"}, ID: "x", From: "n3"})
		n.rigs["n1"].wantReason(err, errdefs.Fenced)
		for name, f := range map[string]host.Forwarded{
			"no id":         {Request: host.Request{Tool: "echo"}},
			"bad tool":      {Request: host.Request{Tool: "é"}, ID: "x"},
			"deep ancestry": {Request: host.Request{Tool: "echo"}, ID: "x", Ancestors: make([]host.SessionID, 2000)},
		} {
			if _, err := n.rigs["n1"].OpenForwarded(n.Context(), f); err == nil {
				n.Errorf("%s: accepted", name)
			}
		}
	})
}

func TestSessionOpenedOnTwoNodesAtOnceIsOnes(t *testing.T) {
	bubbleOf(t, 3, patient, func(n *nodes) {
		var outs []<-chan error
		for i := range 9 {
			via := "n" + string(rune('1'+i%3))
			outs = append(outs, n.rigs[via].start(n.Context(), host.Request{Tool: "work", Session: "s"}))
		}
		for _, out := range outs {
			if err := <-out; err != nil {
				n.Error(err)
			}
		}
		with := 0
		for id := range n.rigs {
			if got := n.runs(id); got == 9 {
				with++
			} else if got != 0 {
				n.Errorf("%s ran %d", id, got)
			}
		}
		if with != 1 {
			n.Errorf("%d nodes ran it", with)
		}
	})
}

func TestSessionThatMustExistIsNotOpened(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.rigs["n2"].fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound)
		n.opened("s", "n1")
		if at := n.where("n2", host.Request{Tool: "echo", Session: "s", MustExist: true}); at != "n1" {
			n.Errorf("ran on %s", at)
		}
	})
}

func TestCallOfASessionCannotWaitForItselfAcrossNodes(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		var nested error
		n.offer("n2", "loop", func(ctx context.Context, _ []byte) ([]byte, error) {
			_, nested = n.rigs["n2"].do(ctx, host.Request{Tool: "echo", Session: "s"})
			return nil, nested
		})
		took := timed(func() {
			n.rigs["n1"].fails(host.Request{Tool: "ask", Session: "s", Payload: []byte("loop")}, errdefs.CallCycle)
		})
		n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(nested, errdefs.CallCycle), false)
		if took > 100*time.Millisecond {
			n.Errorf("found after %s", took)
		}
	})
}

func TestNestedCallBeginsOnANodeThatDrains(t *testing.T) {
	bubbleOf(t, 2, patient, func(n *nodes) {
		n.opened("s", "n2")
		n.offer("n1", "go", func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(2 * time.Second)
			return n.rigs["n1"].do(ctx, host.Request{Tool: "echo", Session: "s"})
		})
		out := n.rigs["n1"].start(n.Context(), host.Request{Tool: "ask", Payload: []byte("go")})
		busy := n.rigs["n2"].start(n.Context(), host.Request{Tool: "busy"})
		stopped := make(chan error, 1)
		go func() { stopped <- n.rigs["n2"].stop() }()
		time.Sleep(time.Second)
		_, err := n.rigs["n2"].OpenForwarded(n.Context(), host.Forwarded{Request: host.Request{Tool: "echo", Session: "s"}, ID: "x", From: "n1"})
		n.rigs["n2"].wantReason(err, errdefs.Draining)
		if err := <-out; err != nil {
			n.Errorf("nested: %v", err)
		}
		if err := errors.Join(<-busy, <-stopped); err != nil {
			n.Error(err)
		}
	})
}

func TestCallWaitsWhileItsSessionsNodeDrains(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.rigs["n1"].start(n.Context(), host.Request{Tool: "busy"})
		stopped := make(chan error, 1)
		go func() { stopped <- n.rigs["n1"].stop() }()
		synctest.Wait()
		n.rigs["n1"].fails(host.Request{Tool: "echo", Session: "s"}, errdefs.Draining) // its own callers know where else to go
		after(n.T, 400*time.Millisecond, func() { n.move("s", "n2") })
		if at := n.where("n2", host.Request{Tool: "echo", Session: "s"}); at != "n2" {
			n.Errorf("ran on %s", at)
		}
		if err := <-stopped; err != nil {
			n.Error(err)
		}
	})
}

func TestShutdownDoesNotWaitForWhoWaitsForAnOwner(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetReachable(false)
		out := n.rigs["n2"].start(n.Context(), host.Request{Tool: "echo", Session: "s"})
		if took := timed(func() { _ = n.rigs["n2"].stop() }); took > time.Second {
			n.Errorf("stopped after %s", took)
		}
		n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(<-out, errdefs.Draining), false)
	})
}

func TestSessionIsClosedWhereItIs(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetReachable(false)
		after(n.T, 500*time.Millisecond, func() { n.members["n1"].SetReachable(true) })
		if err := n.rigs["n2"].CloseSession(n.Context(), "s"); err != nil {
			n.Fatal(err)
		}
		if n.rigs["n1"].Status().Sessions != 0 {
			n.Error("its owner still has it")
		}
		n.rigs["n3"].fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound)
		if err := n.rigs["n2"].CloseSession(n.Context(), "s"); err != nil {
			n.Errorf("closing what isn't there: %v", err)
		}
		n.opened("t", "n1")
		n.rigs["n2"].wantReason(n.rigs["n2"].CloseForwarded(n.Context(), "t"), errdefs.SessionMoved)
	})
}

func TestCallWhoseStartIsNotAnsweredMayHaveRun(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		n.members["n1"].SetDelay(50 * time.Millisecond)
		for i, idempotent := range []bool{false, true} {
			before := n.runs("n1")
			after(n.T, 75*time.Millisecond, n.members["n1"].Cut)
			_, err := n.rigs["n2"].do(n.Context(), host.Request{Tool: "work", Session: "s", Idempotent: idempotent})
			if !idempotent {
				n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(err, errdefs.HostUnreachable), true)
			} else if err != nil {
				n.Error(err)
			}
			if got := n.runs("n1") - before; got != uint64(1+i) {
				n.Errorf("idempotent %t: it ran %d times", idempotent, got)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestForwardedCallOfASessionThatIsTakenAwayIsFenced(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		n.opened("s", "n1")
		for i, idempotent := range []bool{false, true} {
			from, to := []string{"n1", "n3"}[i], []string{"n3", "n1"}[i]
			after(n.T, 500*time.Millisecond, func() { n.move("s", to) })
			c := n.rigs["n2"].open(host.Request{Tool: "work", Session: "s", Idempotent: idempotent})
			if at := c.Place().Node; at != from {
				n.Fatalf("it began on %s", at)
			}
			_, err := c.Recv(n.Context())
			if idempotent {
				if err != nil || c.Place().Node != to {
					n.Errorf("on %s: %v", c.Place().Node, err)
				}
			} else {
				n.rigs["n2"].wantRan(n.rigs["n2"].wantReason(err, errdefs.Fenced), true)
			}
			time.Sleep(time.Minute)
		}
	})
}
