package host_test

import (
	"slices"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// localOn opens a session that never leaves its node, strict in its affinity.
func (n *owners) localOn(id host.SessionID, on string) *host.Call {
	n.Helper()
	c := n.rigs[on].open(host.Request{
		Tool: "echo", Session: id, Availability: host.AvailabilityLocal, Affinity: host.AffinityStrictQueue,
	})
	if _, err := c.Recv(n.Context()); err != nil {
		n.Fatal(err)
	}
	return c
}

func TestLocalSessionGoesOnWithoutALease(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		r := n.rigs["n1"]
		home := n.localOn("l", "n1").Worker()
		n.opened("s", "n1")
		if pins := r.launcher.Worker(home).Pins(); pins != 0 {
			n.Errorf("its home is pinned %d times: it would be frozen with the lease", pins)
		}
		n.members["n1"].SetLease(false)
		for _, via := range []string{"n1", "n2"} {
			took := timed(func() { n.rigs[via].must(host.Request{Tool: "echo", Session: "l"}) })
			if took > 0 {
				n.Errorf("via %s it waited for %s", via, took)
			}
		}
		ctx, cancel := within(time.Second)
		defer cancel()
		_, err := r.do(ctx, host.Request{Tool: "echo", Session: "s"})
		r.wantReason(err, errdefs.NoQuorum)
		ctx, cancel = within(time.Second)
		defer cancel()
		_, err = r.do(ctx, host.Request{Tool: "echo", Session: "new", Availability: host.AvailabilityLocal})
		r.wantReason(err, errdefs.NoQuorum) // opening one is a write
	})
}

func TestLocalSessionOutlivesTheLossOfItsNodesLease(t *testing.T) {
	bubbleOfOwners(t, 1, func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 3 }, func(n *owners) {
		r := n.rigs["n1"]
		r.ready()
		home := n.localOn("l", "n1").Worker()
		running := r.open(host.Request{Tool: "work", Session: "l"})
		other := r.open(host.Request{Tool: "busy", Session: "s"})
		n.members["n1"].SetLease(false)
		r.Disown()
		<-r.launcher.Worker(other.Worker()).Done()
		if _, err := running.Recv(n.Context()); err != nil {
			n.Errorf("its call was ended: %v", err)
		}
		n.members["n1"].Register()
		c := r.inSession("l")
		if c.Worker() != home {
			n.Errorf("it runs on %s now, and was on %s", c.Worker(), home)
		}
	})
}

func TestLocalSessionStaysWhenItsNodeHandsOver(t *testing.T) {
	bubbleOfOwners(t, 2, nil, func(n *owners) {
		n.localOn("l", "n1")
		n.opened("s", "n1")
		moved, left, err := n.rigs["n1"].HandOver(n.Context())
		if moved != 1 || left != 0 || err != nil {
			n.Errorf("moved %d, left %d, %v", moved, left, err)
		}
		if owned := n.cluster.Owned(n.members["n1"]); !slices.Equal(owned, []host.SessionID{"l"}) {
			n.Errorf("n1 owns %v", owned)
		}
		to, _ := n.members["n2"].Self()
		n.rigs["n1"].wantReason(n.rigs["n1"].HandOverSession(n.Context(), "l", to), errdefs.Conflict)
		n.rigs["n1"].must(host.Request{Tool: "echo", Session: "l"})
	})
}

func TestAvailabilityIsOfASessionAndOneOfTwo(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.fails(host.Request{Tool: "echo", Availability: host.AvailabilityLocal}, errdefs.InvalidArguments)
		r.fails(host.Request{Tool: "echo", Session: "s", Availability: "somewhere"}, errdefs.InvalidArguments)
		r.must(host.Request{Tool: "echo", Session: "s", Availability: host.AvailabilityLocal})
	})
}
