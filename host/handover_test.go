package host_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// fickle is a node whose moves of sessions may fail.
type fickle struct {
	*hosttest.Node

	mu   sync.Mutex // guards all below
	lost bool       // a move is made, and nobody says so
	fail error      // what a move fails with; nil: it's made
	bind error      // what a new home fails with
}

func (f *fickle) set(lost bool, move, bind error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost, f.fail, f.bind = lost, move, bind
}

func (f *fickle) MoveSession(ctx context.Context, id host.SessionID, from uint64, to host.Owner) (host.Session, error) {
	f.mu.Lock()
	lost, fail := f.lost, f.fail
	f.mu.Unlock()
	if fail != nil && !lost {
		return host.Session{}, fail
	}
	s, err := f.Node.MoveSession(ctx, id, from, to)
	if lost {
		return host.Session{}, fail
	}
	return s, err
}

func (f *fickle) BindSession(ctx context.Context, id host.SessionID, home host.WorkerID, from uint64) (host.Session, error) {
	f.mu.Lock()
	fail := f.bind
	f.mu.Unlock()
	if fail != nil {
		return host.Session{}, fail
	}
	return f.Node.BindSession(ctx, id, home, from)
}

func (n *owners) owner(id string) host.Owner {
	self, _ := n.members[id].Self()
	return self
}

func (n *owners) handOver(from, to string) {
	n.Helper()
	if err := n.rigs[from].HandOverSession(n.Context(), noteds, n.owner(to)); err != nil {
		n.Fatal(err)
	}
}

func TestPlannedMoveFinishesTheCallAndTakesAlongWhatTheWorkerSaves(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked(allHooks...), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		running := n.rigs["n1"].start(n.Context(), host.Request{Tool: "work", Session: noteds})
		waiting := n.rigs["n1"].start(n.Context(), host.Request{Tool: noted, Session: noteds})
		took := timed(func() { n.handOver("n1", "n2") })
		if took != time.Second {
			n.Errorf("it took %s, want as long as the call that ran", took)
		}
		for _, c := range []<-chan error{running, waiting} {
			if err := <-c; err != nil {
				n.Error(err)
			}
		}
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n1", "open s", "noted s", "save s", "close moved=true s")
		d.want(n, "n2", "restore state=map[] saved=saved by s s", "noted s", "noted s")
		if got := len(n.rigs["n1"].launcher.Workers()); got != 2 {
			n.Errorf("%d workers, want the first two: none was killed", got)
		}
	})
}

func TestWhatWasSavedGoesAlongWithAMoveBeforeItIsUsed(t *testing.T) {
	d := newDiaries(3)
	bubbleOfOwners(t, 3, d.hooked(allHooks...), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		n.handOver("n1", "n2")
		n.handOver("n2", "n3")
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n2")
		d.want(n, "n3", "restore state=map[] saved=saved by s s", "noted s")
	})
}

func TestHookOfARestoreThatFailsGetsTheSameAgain(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked(allHooks...), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		n.handOver("n1", "n2")
		d["n2"].failing("restore", errdefs.New(errdefs.PythonException, "ValueError: no"))
		n.rigs["n2"].fails(host.Request{Tool: noted, Session: noteds}, errdefs.PythonException)
		d["n2"].failing("restore", nil)
		n.rigs["n2"].must(host.Request{Tool: noted, Session: noteds})
		again := "restore state=map[] saved=saved by s s"
		d.want(n, "n2", again, again, "noted s")
	})
}

func TestSessionWhoseHookFailsToSaveMovesAllTheSame(t *testing.T) {
	for name, change := range map[string]func(d *diary, c *host.Config){
		"exception": func(d *diary, _ *host.Config) { d.failing("save", errdefs.New(errdefs.PythonException, "no")) },
		"slow":      func(d *diary, c *host.Config) { c.SaveTimeout = time.Second; d.slow(2 * time.Second) },
		"large":     func(_ *diary, c *host.Config) { c.MaxSaved = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDiaries(2)
			bubbleOfOwners(t, 2, func(id string, c *host.Config, l *hosttest.Launcher) {
				d.hooked("save", "restore")(id, c, l)
				if id == "n1" {
					change(d[id], c)
				}
			}, func(n *owners) {
				n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
				n.handOver("n1", "n2")
				n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
				d.want(n, "n2", "restore state=map[] saved=%!s(<nil>) s", "noted s")
			})
		})
	}
}

func TestStuckSaveEndsBeforeTheSessionMoves(t *testing.T) {
	bubbleOfOwners(t, 2, func(_ string, c *host.Config, l *hosttest.Launcher) {
		c.SaveTimeout = time.Second
		l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){
			"session_save": untilKilled,
		}
	}, func(n *owners) {
		n.opened("s", "n1")
		home := n.rigs["n1"].sessionsOf()[0].Home
		n.handOver("n1", "n2")
		select {
		case <-n.rigs["n1"].launcher.Worker(home).Done():
		default:
			n.Error("the session is another's, and its hook still runs")
		}
	})
}

func TestMoveThatIsRefusedLeavesTheSessionWhereItIs(t *testing.T) {
	d := newDiaries(3)
	bubbleOfOwners(t, 3, d.hooked(allHooks...), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		gone := n.owner("n2")
		n.members["n2"].Register()
		n.rigs["n1"].wantReason(n.rigs["n1"].HandOverSession(n.Context(), noteds, gone), errdefs.Fenced)
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n1", "open s", "noted s", "save s", "noted s") // no restore: it never left
		n.lose("n1", "n2")
		n.rigs["n2"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n2", "restore state=map[] saved=%!s(<nil>) s", "noted s") // what was saved had been taken back
	})
}

func TestSessionStandsStillUntilItIsKnownWhetherItHasMoved(t *testing.T) {
	for name, made := range map[string]bool{"made": true, "not made": false} {
		t.Run(name, func(t *testing.T) {
			var f *fickle
			bubbleOfOwners(t, 2, func(id string, c *host.Config, _ *hosttest.Launcher) {
				if id == "n1" {
					node, _ := c.Registry.(*hosttest.Node)
					f = &fickle{Node: node}
					c.Registry = f
				}
			}, func(n *owners) {
				n.opened("s", "n1")
				lost := errdefs.New(errdefs.Deadline, "nobody answers")
				f.set(made, lost, errdefs.New(errdefs.NoQuorum, "nobody answers"))
				if made {
					n.deaf["n1"].Store(true) // it isn't told either
				}
				n.rigs["n1"].wantReason(n.rigs["n1"].HandOverSession(n.Context(), "s", n.owner("n2")), errdefs.Deadline)
				before := n.runs("n1")
				ctx, cancel := within(time.Minute)
				defer cancel()
				waiting := n.rigs["n1"].start(ctx, host.Request{Tool: "echo", Session: "s"})
				time.Sleep(2 * time.Second)
				if !made && n.runs("n1") != before {
					n.Error("a call ran although the session may be another's")
				}
				f.set(false, nil, nil)
				if err := <-waiting; err != nil {
					n.Error(err)
				}
				if got := n.runs("n1") == before; got != made {
					n.Errorf("%d calls ran on the old owner, before it was known %d", n.runs("n1"), before)
				}
			})
		})
	}
}

func TestAllSessionsOfANodeAreHandedOver(t *testing.T) {
	d := newDiaries(3)
	bubbleOfOwners(t, 3, d.hooked(allHooks...), func(n *owners) {
		const count = 60
		for i := range count {
			n.rigs["n1"].must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprint("s", i)), Affinity: host.AffinityStrictQueue})
		}
		var calls []<-chan error
		for i := range 4 {
			calls = append(calls, n.rigs["n1"].start(n.Context(), host.Request{Tool: "work", Session: host.SessionID(fmt.Sprint("s", i))}))
		}
		moved, left, err := n.rigs["n1"].HandOver(n.Context())
		if moved != count || left != 0 || err != nil {
			n.Errorf("%d moved, %d left, %v", moved, left, err)
		}
		for _, c := range calls {
			if err := <-c; err != nil {
				n.Error(err)
			}
		}
		for _, id := range []string{"n2", "n3"} {
			if got := len(n.cluster.Owned(n.members[id])); got != count/2 {
				n.Errorf("%s owns %d", id, got)
			}
		}
		synctest.Wait()
		if s := n.rigs["n1"].Status(); s.Sessions != 0 {
			n.Errorf("%d sessions are in use where none is", s.Sessions)
		}
		for _, w := range n.rigs["n1"].launcher.Live() {
			if w.Pins() != 0 {
				n.Errorf("a worker is pinned by none")
			}
		}
	})
}

func TestSessionsWithoutAPlaceStay(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.members["n2"].SetRoom("ml", 2)
		for i := range 5 {
			n.opened(host.SessionID(fmt.Sprint("s", i)), "n1")
		}
		moved, left, err := n.rigs["n1"].HandOver(n.Context())
		if moved != 2 || left != 3 {
			n.Errorf("%d moved, %d left", moved, left)
		}
		n.rigs["n1"].wantReason(err, errdefs.SessionQuota)
		for i := range 5 {
			n.rigs["n1"].must(host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprint("s", i))})
		}
	})
}

func TestHandOverEndsWithItsContext(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		running := n.rigs["n1"].start(n.Context(), host.Request{Tool: "busy", Session: "s"})
		ctx, cancel := within(time.Second)
		defer cancel()
		moved, left, err := n.rigs["n1"].HandOver(ctx)
		if moved != 0 || left != 1 {
			n.Errorf("%d moved, %d left", moved, left)
		}
		n.rigs["n1"].wantReason(err, errdefs.Deadline)
		if err := <-running; err != nil {
			n.Error(err)
		}
		n.rigs["n1"].must(host.Request{Tool: "echo", Session: "s"})
	})
}

func TestOnlyTheOwnerHandsASessionOver(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.opened("s", "n1")
		r := n.rigs["n2"]
		r.wantReason(r.HandOverSession(n.Context(), "s", n.owner("n1")), errdefs.SessionMoved)
		r.wantReason(r.HandOverSession(n.Context(), "none", n.owner("n1")), errdefs.SessionNotFound)
		n.members["n1"].SetLease(false)
		r = n.rigs["n1"]
		r.wantReason(r.HandOverSession(n.Context(), "s", n.owner("n2")), errdefs.Fenced)
	})
}

func TestMoveToANodeThatIsNotReachedDoesNotHappen(t *testing.T) {
	d := newDiaries(2)
	bubbleOfOwners(t, 2, d.hooked("save"), func(n *owners) {
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		n.members["n2"].SetReachable(false)
		took := timed(func() {
			n.rigs["n1"].wantReason(n.rigs["n1"].HandOverSession(n.Context(), noteds, n.owner("n2")), errdefs.HostUnreachable)
		})
		if took > 0 {
			n.Errorf("it took %s", took)
		}
		n.rigs["n1"].must(host.Request{Tool: noted, Session: noteds})
		d.want(n, "n1", "noted s", "save s", "noted s")
	})
}
