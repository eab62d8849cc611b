package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// heirs are two engines, of which n2 is on the machine of n1 and adopts what that leaves.
type heirs struct {
	*nodes

	asked atomic.Int64 // how often n2 was to adopt something
	wait  time.Duration
}

func bubbleOfHeirs(t *testing.T, wait time.Duration, test func(h *heirs)) {
	t.Helper()
	h := &heirs{wait: wait}
	var launcher *hosttest.Launcher
	bubbleOf(t, 2, func(id string, c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].SessionTTL = -1
		c.ShutdownTimeout = 50 * time.Millisecond
		if id == "n1" {
			return
		}
		launcher = l
		c.Adopt = func(ctx context.Context, from host.Owner) []host.Survivor {
			h.asked.Add(1)
			if from.Node != "n1" || wait < 0 {
				return nil
			}
			if slowly(wait)(ctx, host.Spec{}) != nil {
				return nil // those that there were are ended
			}
			launcher.Inherit(h.rigs["n1"].launcher)
			return launcher.Survivors()
		}
	}, func(n *nodes) {
		h.nodes = n
		test(h)
	})
}

// die ends n1, and leaves its workers.
func (h *heirs) die() {
	h.Helper()
	h.fail("n1")
	h.rigs["n1"].Leave()
	if err := h.rigs["n1"].stop(); err != nil {
		h.Fatal(err)
	}
}

func (h *heirs) rehome(id host.SessionID, to string) {
	h.Helper()
	if _, err := h.cluster.Rehome(h.Context(), id, h.members[to]); err != nil {
		h.Fatal(err)
	}
}

// home is that of session a.
func (h *heirs) home() host.WorkerID {
	h.Helper()
	s, err := h.members["n2"].Session(h.Context(), "a")
	if err != nil {
		h.Fatal(err)
	}
	return s.Home
}

func TestSessionGoesOnWithAnAdoptedWorker(t *testing.T) {
	bubbleOfHeirs(t, 100*time.Millisecond, func(h *heirs) {
		heir := h.rigs["n2"]
		size := len(heir.Workers(""))
		h.opened("a", "n1")
		h.opened("b", "n1")
		was := h.home()
		process := h.rigs["n1"].launcher.Worker(was).Description().Process
		h.die()
		h.rehome("a", "n2")
		h.rehome("b", "n2")
		c := heir.inSession("a")
		if c.Worker() != was || !c.Home() || h.home() != was {
			h.Errorf("it ran on %s (home %t), want %s, whose memory it has", c.Worker(), c.Home(), was)
		}
		if got := heir.launcher.Worker(was).Description().Process; got != process {
			h.Errorf("process %+v, want %+v", got, process)
		}
		heir.inSession("b")
		if h.asked.Load() != 1 {
			h.Errorf("it was adopted from %d times", h.asked.Load())
		}
		for _, id := range []host.SessionID{"a", "b"} {
			if err := heir.CloseSession(h.Context(), id); err != nil {
				h.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(heir.Workers("")); got != size {
			h.Errorf("%d workers once nothing lives on the adopted ones, want the pool's %d", got, size)
		}
	})
}

func TestSessionIsRestoredWhenItsWorkerIsNotAdopted(t *testing.T) {
	bubbleOfHeirs(t, -1, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		if took := timed(func() { h.rigs["n2"].inSession("a") }); took > 0 {
			h.Errorf("it took %s", took)
		}
		if h.home() == was || h.asked.Load() != 1 {
			t.Errorf("its home is %s still, after %d questions", was, h.asked.Load())
		}
	})
}

func TestSessionWaitsOnlyASecondForAnAdoption(t *testing.T) {
	bubbleOfHeirs(t, 3*time.Second, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		if took := timed(func() { h.rigs["n2"].inSession("a") }); took != time.Second {
			h.Errorf("it took %s", took)
		}
		if h.home() == was {
			h.Errorf("its home is %s still", was)
		}
	})
}

// TestWorkerThatDoesNotAnswerInTimeIsGoneBeforeItsSessionsAreRestored: it may run a call of
// theirs yet.
func TestWorkerThatDoesNotAnswerInTimeIsGoneBeforeItsSessionsAreRestored(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		heir := h.rigs["n2"]
		size := len(heir.Workers(""))
		h.opened("a", "n1")
		was := h.home()
		h.die()
		const dies = 100 * time.Millisecond
		heir.launcher.OnReattach = func(ctx context.Context, _ host.Spec) error {
			<-ctx.Done()
			time.Sleep(dies)
			return ctx.Err()
		}
		h.rehome("a", "n2")
		if took := timed(func() { heir.inSession("a") }); took != time.Second+dies {
			h.Errorf("it took %s", took)
		}
		time.Sleep(time.Minute) // nobody asks for the others
		synctest.Wait()
		if got := len(heir.Workers("")); got != size || h.home() == was {
			h.Errorf("%d workers, and the session's home is %s", got, h.home())
		}
	})
}

// TestCallThatComesBeforeTheNewsOfAMoveWaitsToo: the registry says whose the session is
// before the engine is told.
func TestCallThatComesBeforeTheNewsOfAMoveWaitsToo(t *testing.T) {
	bubbleOfHeirs(t, 100*time.Millisecond, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.members["n2"].OnOwner = nil
		h.rehome("a", "n2")
		if c := h.rigs["n2"].inSession("a"); c.Worker() != was {
			h.Errorf("it ran on %s, want %s", c.Worker(), was)
		}
	})
}

func TestSessionDoesNotWaitForAnAdoptedWorkerThatIsRefused(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rigs["n2"].launcher.OnReattach = func(context.Context, host.Spec) error { return errors.New("it doesn't answer") }
		h.rehome("a", "n2")
		if took := timed(func() { h.rigs["n2"].inSession("a") }); took > 0 || h.home() == was {
			h.Errorf("it took %s, and its home is %s", took, h.home())
		}
	})
}

func TestReloadEndsAdoptedWorkers(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		heir := h.rigs["n2"]
		size := len(heir.Workers(""))
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		heir.inSession("a")
		if err := heir.Reload(h.Context(), "", host.ReloadOptions{}); err != nil {
			h.Fatal(err)
		}
		synctest.Wait()
		if c := heir.inSession("a"); c.Worker() == was || len(heir.Workers("")) != size {
			h.Errorf("it ran on %s, of %d workers", c.Worker(), len(heir.Workers("")))
		}
	})
}

func TestNodeThatGaveItsSessionsUpDoesNotFollowThem(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rigs["n2"].Disown()
		h.rehome("a", "n2")
		if c := h.rigs["n2"].inSession("a"); c.Worker() == was {
			h.Errorf("it ran on %s", was)
		}
	})
}

// TestNodeThatComesBackGoesOnWhereItsSessionsLived: its host was killed, and is back
// under another incarnation before anybody else took its sessions over.
func TestNodeThatComesBackGoesOnWhereItsSessionsLived(t *testing.T) {
	bubbleOfHeirs(t, -1, func(h *heirs) {
		h.opened("a", "n1")
		was := h.home()
		last := h.rigs["n1"]
		h.die()
		m := h.members["n1"]
		m.SetReachable(true)
		m.Register()
		next := newRig(h.T, func(c *host.Config, l *hosttest.Launcher) {
			c.Node, c.Registry, c.Peers = "n1", m, m.Peers()
			l.Inherit(last.launcher)
		})
		m.OnOwner = next.OwnerChanged
		m.Serve(next.Host)
		h.rigs["n1"] = next
		<-next.Seated()
		h.rehome("a", "n1")
		if c := next.inSession("a"); c.Worker() != was || !c.Home() {
			h.Errorf("it ran on %s, want %s", c.Worker(), was)
		}
	})
}

// stuck has the workers that n2 adopts never answer.
func (h *heirs) stuck() {
	h.rigs["n2"].launcher.OnReattach = func(ctx context.Context, _ host.Spec) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestHostEndsWhileASessionWaitsForAnAdoptedWorker(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		h.opened("a", "n1")
		h.die()
		h.stuck()
		h.rehome("a", "n2")
		synctest.Wait() // the bubble ends the host before the session has waited for long enough
	})
}

// TestNodeThatGivesItsSessionsUpEndsWhatItHasNotAttachedTo: its next lease would have such a
// worker go on with what it's amidst.
func TestNodeThatGivesItsSessionsUpEndsWhatItHasNotAttachedTo(t *testing.T) {
	bubbleOfHeirs(t, 0, func(h *heirs) {
		heir := h.rigs["n2"]
		size := len(heir.Workers(""))
		h.opened("a", "n1")
		h.die()
		h.stuck()
		h.rehome("a", "n2")
		synctest.Wait()
		took := timed(heir.Disown)
		if got := len(heir.Workers("")); got != size || took > 0 {
			h.Errorf("%d workers, want the %d of the pool's own; it took %s", got, size, took)
		}
	})
}

func TestNodeThatGivesItsSessionsUpTakesNobodyOverAfterThat(t *testing.T) {
	bubbleOfHeirs(t, 500*time.Millisecond, func(h *heirs) {
		heir := h.rigs["n2"]
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		time.Sleep(100 * time.Millisecond)
		if took := timed(heir.Disown); took > 0 {
			h.Errorf("it took %s", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if heir.launcher.Worker(was) != nil {
			h.Errorf("%s goes on here", was)
		}
	})
}

// TestSessionIsClosedOnlyWhenItIsKnownWhereItLives: its home is told, whoever had it before.
func TestSessionIsClosedOnlyWhenItIsKnownWhereItLives(t *testing.T) {
	bubbleOfHeirs(t, 100*time.Millisecond, func(h *heirs) {
		h.opened("a", "n1")
		h.die()
		h.rehome("a", "n2")
		if took := timed(func() {
			if err := h.rigs["n2"].CloseSession(h.Context(), "a"); err != nil {
				h.Error(err)
			}
		}); took != 100*time.Millisecond {
			h.Errorf("it took %s", took)
		}
	})
}

// TestSessionIsHandedOverOnlyWhenItIsKnownWhereItLives: else the worker that is taken over
// would go on with its call while the next owner serves it.
func TestSessionIsHandedOverOnlyWhenItIsKnownWhereItLives(t *testing.T) {
	bubbleOfHeirs(t, 100*time.Millisecond, func(h *heirs) {
		h.opened("a", "n1")
		h.die()
		h.rehome("a", "n2")
		third := h.cluster.Add("n3")
		self, _ := third.Self()
		if took := timed(func() {
			if err := h.rigs["n2"].HandOverSession(h.Context(), "a", self); err != nil {
				h.Error(err)
			}
		}); took != 100*time.Millisecond {
			h.Errorf("it took %s", took)
		}
		if owner, _, err := third.Owner(h.Context(), "a"); err != nil || owner != self {
			h.Errorf("it's owned by %+v: %v", owner, err)
		}
	})
}

// behind is a node that doesn't know a session yet when it's first asked.
type behind struct {
	*hosttest.Node

	asked atomic.Bool
}

func (b *behind) Session(ctx context.Context, id host.SessionID) (host.Session, error) {
	if id == "a" && b.asked.CompareAndSwap(false, true) {
		return host.Session{}, errdefs.New(errdefs.SessionNotFound, "no session %q", id)
	}
	return b.Node.Session(ctx, id)
}

// TestCallThatFindsASessionOpenedElsewhereWaitsToo: it would have opened it itself.
func TestCallThatFindsASessionOpenedElsewhereWaitsToo(t *testing.T) {
	bubbleOf(t, 2, func(id string, c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].SessionTTL = -1
		if id == "n2" {
			n, _ := c.Registry.(*hosttest.Node)
			c.Registry = &behind{Node: n}
			c.Adopt = func(ctx context.Context, _ host.Owner) []host.Survivor {
				_ = slowly(100*time.Millisecond)(ctx, host.Spec{})
				return nil
			}
		}
	}, func(n *nodes) {
		h := &heirs{nodes: n}
		h.opened("a", "n1")
		h.die()
		h.members["n2"].OnOwner = nil
		h.rehome("a", "n2")
		if took := timed(func() {
			c := h.rigs["n2"].open(host.Request{Tool: "echo", Session: "a"})
			defer c.Close()
			if _, err := c.Recv(h.Context()); err != nil || !c.Home() {
				h.Errorf("it ran at home: %t (%v)", c.Home(), err)
			}
		}); took != 100*time.Millisecond {
			h.Errorf("it took %s", took)
		}
	})
}

// busy is a node whose writes take long once a session has lost its owner.
type busy struct{ *hosttest.Node }

func (b busy) BindSession(ctx context.Context, id host.SessionID, home host.WorkerID, from uint64) (host.Session, error) {
	if err := slowly(2*time.Second)(ctx, host.Spec{}); err != nil {
		return host.Session{}, err
	}
	return b.Node.BindSession(ctx, id, home, from)
}

// TestSessionGoesOnAlthoughTheRegistryIsBusy: all sessions of a lost node write at once.
func TestSessionGoesOnAlthoughTheRegistryIsBusy(t *testing.T) {
	var launcher *hosttest.Launcher
	var lost *hosttest.Launcher
	bubbleOf(t, 2, func(id string, c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].SessionTTL = -1
		if id == "n1" {
			lost = l
			return
		}
		launcher = l
		n, _ := c.Registry.(*hosttest.Node)
		c.Registry = busy{n}
		c.Adopt = func(context.Context, host.Owner) []host.Survivor {
			launcher.Inherit(lost)
			return launcher.Survivors()
		}
	}, func(n *nodes) {
		h := &heirs{nodes: n}
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		if c := h.rigs["n2"].inSession("a"); c.Worker() != was {
			h.Errorf("it ran on %s, want %s", c.Worker(), was)
		}
	})
}
