package host_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// room is what a node says of itself.
func (n *owners) room(id string) host.NodeRoom {
	return host.NodeRoom{Owner: n.owner(id), Pools: n.rigs[id].Room()}
}

func (n *owners) rooms() (all []host.NodeRoom) {
	for id := range n.rigs {
		all = append(all, n.room(id))
	}
	return all
}

func TestAnyNodeMovesASessionWithWhatItsWorkerSaves(t *testing.T) {
	for _, via := range []string{"n1", "n2", "n3"} { // its owner, who gets it, neither
		t.Run(via, func(t *testing.T) {
			d := newDiaries(3)
			bubbleOfOwners(t, 3, d.hooked(allHooks...), func(n *owners) {
				n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
				running := n.rigs["n1"].start(n.Context(), host.Request{Tool: "work", Session: noteds})
				time.Sleep(time.Millisecond)
				from, err := n.rigs[via].MoveSession(n.Context(), noteds, n.room("n2"))
				if err != nil || from.Node != "n1" {
					n.Errorf("from %v, %v", from, err)
				}
				if err := <-running; err != nil {
					n.Errorf("the call under way: %v", err)
				}
				n.rigs["n3"].must(host.Request{Tool: noted, Session: noteds})
				d.want(n, "n2", "restore state=map[] saved=saved by s s", "noted s")
				from, err = n.rigs[via].MoveSession(n.Context(), noteds, host.NodeRoom{Owner: n.owner("n2")})
				if err != nil || from.Node != "n2" {
					n.Errorf("again: from %v, %v", from, err)
				}
			})
		})
	}
}

func TestSessionThatCantMoveStaysAndSaysWhy(t *testing.T) {
	bubbleOfOwners(t, 3, nil, func(n *owners) {
		n.opened("s", "n1")
		n.rigs["n1"].must(host.Request{Tool: "echo", Session: "mine", Availability: host.AvailabilityLocal})
		full := host.NodeRoom{Owner: n.owner("n3"), Pools: map[string]uint32{"ml": 0, "main": 0, "default": 0}}
		gone := n.room("n3")
		gone.Incarnation += 100
		r := n.rigs["n2"]
		for name, c := range map[string]struct {
			id   host.SessionID
			to   host.NodeRoom
			want errdefs.Reason
		}{
			"unknown":      {"none", n.room("n3"), errdefs.SessionNotFound},
			"bad":          {"", n.room("n3"), errdefs.InvalidArguments},
			"never leaves": {"mine", n.room("n3"), errdefs.Conflict},
			"no such pool": {"s", host.NodeRoom{Owner: n.owner("n3")}, errdefs.PoolNotFound},
			"full":         {"s", full, errdefs.SessionQuota},
			"not up":       {"s", gone, errdefs.Fenced},
		} {
			_, err := r.MoveSession(n.Context(), c.id, c.to)
			if errdefs.ReasonOf(err) != c.want {
				n.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		n.members["n1"].SetReachable(false)
		_, err := r.MoveSession(n.Context(), "s", n.room("n3"))
		r.wantReason(err, errdefs.HostUnreachable)
		n.members["n1"].SetReachable(true)
		if got := n.where("n1", host.Request{Tool: "echo", Session: "s"}); got != "n1" {
			n.Errorf("it's on %s", got)
		}
	})
}

func TestHostByItselfMovesNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		_, err := r.MoveSession(r.Context(), "s", host.NodeRoom{})
		r.wantReason(err, errdefs.Unimplemented)
	})
}

func TestMoveWaitsForRunningCallsNoLongerThanItsCaller(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		running := n.rigs["n1"].start(n.Context(), host.Request{Tool: "busy", Session: "s"})
		time.Sleep(time.Millisecond)
		ctx, cancel := within(time.Second)
		defer cancel()
		_, err := n.rigs["n2"].MoveSession(ctx, "s", n.room("n2"))
		n.rigs["n2"].wantReason(err, errdefs.Deadline)
		if err := <-running; err != nil {
			n.Error(err)
		}
		if got := n.where("n2", host.Request{Tool: "echo", Session: "s"}); got != "n1" {
			n.Errorf("it's on %s", got)
		}
	})
}

// laggard is a node that knows nothing new unless it asks.
type laggard struct {
	*hosttest.Node

	alone atomic.Bool // nobody tells
}

func (b *laggard) Consistent(ctx context.Context) error {
	if b.alone.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	b.CatchUp()
	return nil
}

func TestNodeThatIsBehindLooksBeforeItMovesASession(t *testing.T) {
	var b *laggard
	bubbleOfOwners(t, 3, func(id string, c *host.Config, _ *hosttest.Launcher) {
		if node, ok := c.Registry.(*hosttest.Node); ok && id == "n3" {
			b = &laggard{Node: node}
			c.Registry = b
		}
	}, func(n *owners) {
		n.opened("s", "n1")
		epoch := n.rigs["n1"].sessionsOf()[0].Epoch
		n.handOverOf("s", "n1", "n2")
		b.Lag("s", n.members["n1"], epoch)
		took := timed(func() {
			from, err := n.rigs["n3"].MoveSession(n.Context(), "s", n.room("n3"))
			if err != nil || from.Node != "n2" {
				n.Errorf("from %v, %v", from, err)
			}
		})
		if took != 0 {
			n.Errorf("it took %s", took)
		}
		b.alone.Store(true)
		_, err := n.rigs["n3"].MoveSession(n.Context(), "s", n.room("n1"))
		n.rigs["n3"].wantReason(err, errdefs.NoQuorum)
		_, err = n.rigs["n3"].Balance(n.Context(), "", n.rooms())
		n.rigs["n3"].wantReason(err, errdefs.NoQuorum)
	})
}

func (n *owners) handOverOf(id host.SessionID, from, to string) {
	n.Helper()
	if err := n.rigs[from].HandOverSession(n.Context(), id, n.owner(to)); err != nil {
		n.Fatal(err)
	}
}

// shifted is what somebody hears who has sessions moved.
type shifted struct {
	mu     sync.Mutex // guards failed
	moved  atomic.Int64
	failed map[errdefs.Reason]int
}

func (s *shifted) done(_ host.Shift, err error) {
	if err == nil {
		s.moved.Add(1)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = map[errdefs.Reason]int{}
	}
	s.failed[errdefs.ReasonOf(err)]++
}

// crowd opens sessions on n1, and says what has them even.
func (n *owners) crowd(count int) host.Balance {
	n.Helper()
	for i := range count {
		n.rigs["n1"].must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprintf("s%02d", i)), Affinity: host.AffinityStrictQueue})
	}
	b, err := n.rigs["n3"].Balance(n.Context(), "", n.rooms())
	if err != nil {
		n.Fatal(err)
	}
	return b
}

func (n *owners) wantOwned(want map[string]int) {
	n.Helper()
	for id, count := range want {
		if got := len(n.cluster.Owned(n.members[id])); got != count {
			n.Errorf("%s owns %d, want %d", id, got, count)
		}
	}
}

func TestSessionsAreEvenedOutWhileTheyAreCalled(t *testing.T) {
	d := newDiaries(3)
	bubbleOfOwners(t, 3, d.hooked(allHooks...), func(n *owners) {
		b := n.crowd(60)
		var calls []<-chan error
		for i := range 60 {
			calls = append(calls, n.rigs["n2"].start(n.Context(), host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprintf("s%02d", i))}))
		}
		var s shifted
		if err := n.rigs["n3"].Shift(n.Context(), b.Shifts, time.Minute, s.done); err != nil || s.failed != nil {
			n.Errorf("%v, %v", err, s.failed)
		}
		for _, c := range calls {
			if err := <-c; err != nil {
				n.Error(err)
			}
		}
		n.wantOwned(map[string]int{"n1": 20, "n2": 20, "n3": 20})
		if s.moved.Load() != 40 {
			n.Errorf("%d moved", s.moved.Load())
		}
	})
}

func TestMoveThatFailsStopsNoOther(t *testing.T) {
	bubbleOfOwners(t, 3, func(_ string, c *host.Config, _ *hosttest.Launcher) {
		c.CallTimeout = time.Hour
	}, func(n *owners) {
		b := n.crowd(30)
		var busy, ended, elsewhere bool
		for _, shift := range b.Shifts {
			switch {
			case !busy:
				busy = true
				c := n.rigs["n1"].start(n.Context(), host.Request{Tool: "busy", Session: shift.Session})
				n.Cleanup(func() { <-c })
			case !ended:
				ended = true
				if err := n.rigs["n1"].CloseSession(n.Context(), shift.Session); err != nil {
					n.Fatal(err)
				}
			case !elsewhere:
				elsewhere = true
				n.move(shift.Session, map[string]string{"n2": "n3", "n3": "n2"}[shift.To.Node])
			}
		}
		time.Sleep(time.Millisecond)
		var s shifted
		if err := n.rigs["n2"].Shift(n.Context(), b.Shifts, time.Second, s.done); err != nil {
			n.Error(err)
		}
		want := map[errdefs.Reason]int{errdefs.Deadline: 1, errdefs.SessionNotFound: 1, errdefs.SessionMoved: 1}
		if fmt.Sprint(s.failed) != fmt.Sprint(want) || s.moved.Load() != 17 {
			n.Errorf("%d moved, %v", s.moved.Load(), s.failed)
		}
	})
}

func TestNoFurtherMoveBeginsOnceNobodyWaits(t *testing.T) {
	bubbleOfOwners(t, 3, nil, func(n *owners) {
		b := n.crowd(60)
		ctx, cancel := context.WithCancel(n.Context())
		defer cancel()
		var told atomic.Int64
		err := n.rigs["n1"].Shift(ctx, b.Shifts, time.Minute, func(host.Shift, error) {
			if told.Add(1) == 5 {
				cancel()
			}
		})
		n.rigs["n1"].wantReason(err, errdefs.Cancelled)
		synctest.Wait()
		if got := told.Load(); got < 5 || got > 5+16 {
			n.Errorf("%d of %d were begun", got, len(b.Shifts))
		}
		for i := range 60 {
			n.rigs["n1"].must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprintf("s%02d", i))})
		}
	})
}
