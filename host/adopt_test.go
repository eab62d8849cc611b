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
		if id == "n1" {
			return
		}
		launcher = l
		c.Adopt = func(ctx context.Context, from host.Owner) []host.Survivor {
			h.asked.Add(1)
			if from.Node != "n1" || wait < 0 {
				return nil
			}
			time.Sleep(wait)
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

func TestSessionWaitsOnlyASecondForItsWorker(t *testing.T) {
	bubbleOfHeirs(t, 3*time.Second, func(h *heirs) {
		heir := h.rigs["n2"]
		size := len(heir.Workers(""))
		h.opened("a", "n1")
		was := h.home()
		h.die()
		h.rehome("a", "n2")
		if took := timed(func() { heir.inSession("a") }); took != time.Second {
			h.Errorf("it took %s", took)
		}
		if h.home() == was {
			h.Errorf("its home is %s still", was)
		}
		time.Sleep(5 * time.Second)
		if got := len(heir.Workers("")); got <= size {
			h.Errorf("%d workers: those that come late aren't seen off, but were never there", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(heir.Workers("")); got != size {
			h.Errorf("%d workers, want the pool's %d", got, size)
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
