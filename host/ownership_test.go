package host_test

import (
	"context"
	"fmt"
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

// owners are several engines that are told who owns what.
type owners struct {
	*nodes

	deaf map[string]*atomic.Bool // those that aren't told
}

// bubbleOfOwners runs a test on several engines that are told who owns what; change alters
// one's configuration. Workers know whether their node's lease holds.
func bubbleOfOwners(t *testing.T, count int, change func(id string, c *host.Config, l *hosttest.Launcher), test func(n *owners)) {
	t.Helper()
	bubbleOf(t, count, leased(change), func(n *nodes) { test(newOwners(n)) })
}

func newOwners(n *nodes) *owners {
	o := &owners{nodes: n, deaf: map[string]*atomic.Bool{}}
	for id, m := range n.members {
		o.deaf[id] = &atomic.Bool{}
		m.OnOwner = func(c host.OwnerChange) {
			if !o.deaf[id].Load() {
				n.rigs[id].OwnerChanged(c)
			}
		}
	}
	return o
}

func leased(change func(id string, c *host.Config, l *hosttest.Launcher)) func(id string, c *host.Config, l *hosttest.Launcher) {
	return func(id string, c *host.Config, l *hosttest.Launcher) {
		m, _ := c.Registry.(*hosttest.Node)
		l.Lease = func() bool { _, holds := m.Self(); return holds }
		if change != nil {
			change(id, c, l)
		}
	}
}

// diaries are one for each node.
type diaries map[string]*diary

func newDiaries(count int) diaries {
	all := diaries{}
	for i := range count {
		all["n"+string(rune('1'+i))] = &diary{}
	}
	return all
}

var allHooks = []string{"open", "restore", "save", "close"}

func (d diaries) hooked(hooks ...string) func(id string, c *host.Config, l *hosttest.Launcher) {
	return func(id string, c *host.Config, l *hosttest.Launcher) { d[id].hooked(hooks...)(c, l) }
}

func (d diaries) want(n *owners, id string, want ...string) {
	n.Helper()
	if diff := cmp.Diff(want, d[id].taken()); diff != "" {
		n.Errorf("%s's workers saw (-want +got):\n%s", id, diff)
	}
}

// lose takes a node's lease away and gives its sessions to another, which it isn't told.
func (n *owners) lose(id, to string) {
	n.Helper()
	n.fail(id)
	n.deaf[id].Store(true)
	for _, s := range n.cluster.Owned(n.members[id]) {
		n.move(s, to)
	}
}

// comesBack is the node's return under a new incarnation.
func (n *owners) comesBack(id string) {
	n.rigs[id].Disown()
	n.members[id].Register()
	n.members[id].SetReachable(true)
	n.deaf[id].Store(false)
}

const noteds, noted = host.SessionID("s"), "noted"

func TestFailedOverSessionIsRestoredByItsNewOwner(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked(allHooks...), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		s := n.rigs["n1"].sessionsOf()[0]
		if _, err := n.members["n1"].SetState(n.Context(), noteds, s.Epoch, host.StateChange{Key: "k", Value: []byte("v")}); err != nil {
			n.Fatal(err)
		}
		n.lose("n1", "n2")
		for range 2 {
			n.rigs["n2"].must(host.Request{Tool: noted, Session: noteds})
		}
		d.want(n, "n1", "open s", "noted s")
		d.want(n, "n2", "restore state=map[k:v] saved=%!s(<nil>) s", "noted s", "noted s")
		n.comesBack("n1")
		time.Sleep(time.Second)
		d.want(n, "n1", "close moved=true s")
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n2", "noted s")
	})
}

func TestStrictSessionGoesOnAtItsNewOwner(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked("open", "restore"), func(n *owners) {
		call := host.Request{Tool: noted, Session: noteds, Affinity: host.AffinityStrictQueue}
		n.rigs["n1"].must(call)
		n.lose("n1", "n2")
		n.rigs["n2"].must(call)
		d.want(n, "n2", "restore state=map[] saved=%!s(<nil>) s", "noted s")
		for _, w := range n.rigs["n2"].launcher.Live() {
			w.Crash()
		}
		n.rigs["n2"].ready()
		n.rigs["n2"].fails(call, errdefs.SessionWorkerUnavailable) // its node lives, and what it held is lost
	})
}

func TestCallsOfASessionThatIsLostGoToItsNewOwner(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		var all []<-chan error
		for range 3 { // one runs, and two wait for their turn
			all = append(all, n.rigs["n1"].start(n.Context(), host.Request{Tool: "work", Session: "s", Idempotent: true}))
		}
		on := n.rigs["n1"].launcher.Live()
		n.move("s", "n2")
		synctest.Wait()
		killed := 0
		for _, w := range on {
			select {
			case <-w.Done():
				killed++
			default:
			}
		}
		if killed != 1 {
			n.Errorf("%d workers were killed, want the one that ran the session's call", killed)
		}
		for _, c := range all {
			if err := <-c; err != nil {
				n.Error(err)
			}
		}
		if got := n.runs("n2"); got != 3 {
			n.Errorf("%d calls ran on the new owner, want 3", got)
		}
		if p := n.rigs["n1"].settled(); p.Breaker.Failures != 0 {
			n.Errorf("the breaker counts a kill of ours: %+v", p.Breaker)
		}
	})
}

func TestCallThatWaitsForASlotLeavesWithItsSession(t *testing.T) {
	bubbleOfOwners(t, 2, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 1 }, func(n *owners) {
		n.opened("s", "n1")
		_ = n.rigs["n1"].open(host.Request{Tool: "busy", Pool: "ml"})
		waiting := n.rigs["n1"].start(n.Context(), host.Request{Tool: "echo", Session: "s"})
		took := timed(func() {
			n.move("s", "n2")
			if err := <-waiting; err != nil {
				n.Error(err)
			}
		})
		if took > 100*time.Millisecond {
			n.Errorf("it took %s", took)
		}
	})
}

func TestOtherSessionsOfTheNodeGoOn(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("a", "n1")
		n.opened("b", "n1")
		running := n.rigs["n1"].start(n.Context(), host.Request{Tool: "work", Session: "b"})
		n.move("a", "n2")
		if err := <-running; err != nil {
			n.Error(err)
		}
	})
}

func TestLeaseThatIsRegainedChangesNothing(t *testing.T) {
	d := newDiaries(1)
	bubbleOfOwners(t, 1, d.hooked(allHooks...), func(n *owners) {
		r := n.rigs["n1"]
		r.must(host.Request{Tool: noted, Session: noteds})
		running := r.start(n.Context(), host.Request{Tool: "work", Session: noteds})
		n.members["n1"].SetLease(false)
		waiting := r.start(n.Context(), host.Request{Tool: noted, Session: noteds})
		time.Sleep(2 * time.Second)
		n.members["n1"].SetLease(true)
		for _, c := range []<-chan error{running, waiting} {
			if err := <-c; err != nil {
				n.Error(err)
			}
		}
		d.want(n, "n1", "open s", "noted s", "noted s")
		if p := r.settled(); p.Breaker.Failures != 0 || p.Replaced != 0 || p.Busy != 0 {
			n.Errorf("a lease's end counts as a worker's fault: %+v", p)
		}
	})
}

func TestWorkerThatWasFrozenForTooLongIsNoCrash(t *testing.T) {
	for name, holds := range map[string]bool{"lease ended": false, "lease holds": true} {
		t.Run(name, func(t *testing.T) {
			bubbleOfOwners(t, 1, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Barrier.Taint = time.Minute }, func(n *owners) {
				r := n.rigs["n1"]
				c := r.open(host.Request{Tool: "busy", Session: "s"})
				n.members["n1"].SetLease(holds)
				r.launcher.Worker(c.Worker()).CrashBy("SIGKILL") // as the shim does
				_, err := c.Recv(r.Context())
				r.wantReason(err, errdefs.WorkerCrashed)
				p := r.settled()
				if got := p.Breaker.Failures > 0; got != holds {
					n.Errorf("the breaker counts %d failures", p.Breaker.Failures)
				}
				time.Sleep(10 * time.Second)
				if got := r.settled().Ready < 2; got != holds {
					n.Errorf("%d workers are ready; a seat stays empty: %t", r.settled().Ready, got)
				}
			})
		})
	}
}

func TestDisownKillsWhoeverRunsASessionsCallOrIsPinned(t *testing.T) {
	bubbleOfOwners(t, 1, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 4 }, func(n *owners) {
		r := n.rigs["n1"]
		r.ready()
		strict := r.open(host.Request{Tool: "echo", Session: "strict", Affinity: host.AffinityStrictQueue})
		_, _ = strict.Recv(r.Context())
		running := r.open(host.Request{Tool: "busy", Session: "running"})
		without := r.open(host.Request{Tool: "busy"})
		waiting := r.start(n.Context(), host.Request{Tool: "echo", Session: "running"})
		n.members["n1"].SetLease(false)
		r.Disown()
		for _, w := range r.launcher.Workers() {
			id := w.Spec.Worker
			want := id == strict.Worker() || id == running.Worker()
			select {
			case <-w.Done():
				if !want {
					n.Errorf("%s was killed for nothing", id)
				}
			default:
				if want {
					n.Errorf("%s lives on", id)
				}
			}
		}
		synctest.Wait()
		if s := r.Status(); s.Sessions != 0 {
			n.Errorf("%d sessions are in use", s.Sessions)
		}
		n.members["n1"].Register()
		for _, id := range []host.SessionID{"strict", "running"} {
			n.move(id, "n1")
		}
		if err := <-waiting; err != nil {
			n.Error(err)
		}
		without.Close()
	})
}

func TestExpiryIsTheOwnersAndBeginsAnewWithAMove(t *testing.T) {
	bubbleOfOwners(t, 2, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.SessionTTL = time.Minute }, func(n *owners) {
		n.opened("s", "n1")
		time.Sleep(50 * time.Second)
		n.move("s", "n2") // where nobody uses it
		time.Sleep(50 * time.Second)
		if _, err := n.members["n1"].Session(n.Context(), "s"); err != nil {
			n.Errorf("it expired too early: %v", err)
		}
		time.Sleep(time.Minute)
		_, err := n.members["n1"].Session(n.Context(), "s")
		n.rigs["n1"].wantReason(err, errdefs.SessionExpired)
	})
}

func TestSessionDoesNotExpireWithoutALease(t *testing.T) {
	bubbleOfOwners(t, 1, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.SessionTTL = time.Minute }, func(n *owners) {
		n.opened("s", "n1")
		n.members["n1"].SetLease(false)
		time.Sleep(10 * time.Minute)
		if _, err := n.members["n1"].Session(n.Context(), "s"); err != nil {
			n.Error(err)
		}
		n.members["n1"].SetLease(true)
		time.Sleep(2 * time.Minute)
		_, err := n.members["n1"].Session(n.Context(), "s")
		n.rigs["n1"].wantReason(err, errdefs.SessionExpired)
	})
}

func TestSessionThatWasClosedElsewhereIsForgotten(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		if err := n.members["n2"].CloseSession(n.Context(), "s", false); err != nil {
			n.Fatal(err)
		}
		synctest.Wait()
		if s := n.rigs["n1"].Status(); s.Sessions != 0 {
			n.Errorf("%d sessions are in use", s.Sessions)
		}
		n.rigs["n1"].fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionNotFound)
		n.rigs["n1"].must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestLateWordOfAnEarlierOwnerDoesNothing(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		r := n.rigs["n1"]
		running := r.start(n.Context(), host.Request{Tool: "work", Session: "s"})
		old := r.sessionsOf()[0]
		old.Epoch--
		other, _ := n.members["n2"].Self()
		r.OwnerChanged(host.OwnerChange{Session: old, Owner: other})
		r.OwnerChanged(host.OwnerChange{Session: host.Session{ID: "s"}})
		r.OwnerChanged(host.OwnerChange{Session: r.sessionsOf()[0], Owner: old.Owner, Mine: true})
		r.OwnerChanged(host.OwnerChange{Session: host.Session{ID: "unknown", Epoch: 9}, Owner: other})
		if err := <-running; err != nil {
			n.Error(err)
		}
		if got := len(r.launcher.Workers()); got != 2 {
			n.Errorf("%d workers, want the first two", got)
		}
	})
}

func TestSessionThatLeavesAndComesBackUnseenIsANewOne(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked("open", "restore"), func(n *owners) {
		r := n.rigs["n1"]
		r.must(host.Request{Tool: noted, Session: noteds})
		n.deaf["n1"].Store(true)
		n.move(noteds, "n2")
		n.deaf["n1"].Store(false)
		n.move(noteds, "n1")
		r.must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n1", "open s", "noted s", "restore state=map[] saved=%!s(<nil>) s", "noted s")
	})
}

func TestRoomIsWhatIsLeftOfMaxSessions(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		c.MaxSessions = 3
		broken := c.Pools[0]
		broken.Name = "broken"
		c.Pools = append(c.Pools, broken)
		l.OnLaunch = func(_ context.Context, spec host.Spec, _ int) error {
			if spec.Pool == "broken" {
				return errdefs.New(errdefs.StartFailed, "no")
			}
			return nil
		}
	}, func(r *rig) {
		_ = r.ReadyPool(r.Context(), "ml", 1)
		synctest.Wait()
		want := func(n uint32) {
			r.Helper()
			if d := cmp.Diff(map[string]uint32{"ml": n, "broken": 0}, r.Room()); d != "" {
				r.Errorf("room (-want +got):\n%s", d)
			}
		}
		want(3)
		for i := range 3 {
			r.must(host.Request{Tool: "echo", Pool: "ml", Session: host.SessionID(fmt.Sprint(i))})
		}
		want(0)
		_ = r.CloseSession(r.Context(), "0")
		want(1)
		_ = r.stop()
		want(0)
	})
}

func TestWhatIsSavedIsBounded(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.MaxSaved, c.MaxSessions = 10, 2 }, func(r *rig) {
		take := func(id host.SessionID, size int) error {
			return r.TakeSaved(host.SavedSession{ID: id, Epoch: 1, Saved: []byte(strings.Repeat("x", size))})
		}
		r.wantReason(take("a", 11), errdefs.PayloadTooLarge)
		r.wantReason(take("", 1), errdefs.InvalidArguments)
		for _, id := range []host.SessionID{"a", "b", "a"} {
			if err := take(id, 10); err != nil {
				r.Error(err)
			}
		}
		r.wantReason(take("c", 1), errdefs.QueueFull)
		if err := take("a", 0); err != nil { // taken back
			r.Error(err)
		}
		if err := take("c", 1); err != nil {
			r.Error(err)
		}
		time.Sleep(time.Minute)
		for _, id := range []host.SessionID{"d", "e"} {
			if err := take(id, 1); err != nil {
				r.Errorf("what nobody came for is kept: %v", err)
			}
		}
	})
}
