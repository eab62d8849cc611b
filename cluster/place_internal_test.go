package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// counted is how many sessions each node gets.
func counted(owners []Owner) map[string]int {
	all := map[string]int{}
	for _, o := range owners {
		all[o.Node]++
	}
	return all
}

func TestPlacesAreSpreadOverWhoHasRoomAndNeverTheAsker(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, func(r *rig) {
		r.nodes["n1"].room, r.nodes["n2"].room, r.nodes["n3"].room = 10, 10, 4
	}, func(r *rig) {
		r.voters(3)
		time.Sleep(renewEvery)
		for _, name := range r.names { // one of them leads
			time.Sleep(2 * renewEvery)
			got, err := r.nodes[name].Place(r.Context(), "ml", 1000)
			if err != nil {
				r.Fatal(err)
			}
			for _, other := range r.names {
				want := int(r.nodes[other].room)
				if other == name {
					want = 0
				}
				if n := counted(got)[r.nodes[other].ID()]; n != want {
					r.Errorf("%s gives %d places on %s, want %d", name, n, other, want)
				}
			}
			for _, o := range got {
				if r.nodes[name].Node.machine.member(o.Node).Incarnation != o.Incarnation {
					r.Errorf("%+v isn't up", o)
				}
			}
		}
		time.Sleep(2 * renewEvery)
		got, err := r.nodes["n3"].Place(r.Context(), "ml", 6)
		if c := counted(got); err != nil || len(got) != 6 || c[r.nodes["n1"].ID()] != 3 || c[r.nodes["n2"].ID()] != 3 {
			r.Errorf("6 places are %v (%v)", c, err)
		}
		if got, err := r.nodes["n1"].Place(r.Context(), "rare", 6); err != nil || len(got) != 0 {
			r.Errorf("nobody has room, and gives %v (%v)", got, err)
		}
	})
}

func TestRoomIsNotGivenTwiceBeforeItsNodeRenews(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 2, func(r *rig) { r.nodes["n2"].room = 3 }, func(r *rig) {
		time.Sleep(2 * renewEvery)
		given := 0
		for range 3 { // a message takes 1 ms
			got, err := r.nodes["n1"].Place(r.Context(), "ml", 2)
			if err != nil {
				r.Fatal(err)
			}
			given += len(got)
		}
		if given != 3 {
			r.Errorf("%d places of 3", given)
		}
		r.eventually(2*renewEvery, "there is room again", func() bool {
			got, err := r.nodes["n1"].Place(r.Context(), "ml", 1)
			return err == nil && len(got) == 1
		})
	})
}

func TestWithoutALeaderThereIsNoPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		r.kill("n2")
		r.kill("n3")
		time.Sleep(time.Second)
		began := time.Now()
		_, err := r.nodes["n1"].Place(r.Context(), "ml", 1)
		wantReason(r, err, errdefs.NoQuorum)
		if took := time.Since(began); took > holdWait+askWait {
			r.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = r.nodes["n1"].Place(ctx, "ml", 1)
		wantReason(r, err, errdefs.Deadline)
	})
}

func TestNodeKnowsItself(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		n := r.nodes["n2"]
		if self, holds := n.Self(); !holds || self != (Owner{Node: n.ID(), Incarnation: n.Lease().Incarnation}) {
			r.Errorf("it's %+v, holds %t", self, holds)
		}
		s := r.open("n2", "a")
		if self, _ := n.Self(); s.Owner != self {
			r.Errorf("a session is owned by %+v", s.Owner)
		}
		all, err := r.nodes["n2"].Sessions(r.Context())
		if err != nil || len(all) != 1 || all[0].Owner != s.Owner {
			r.Errorf("sessions %+v (%v)", all, err)
		}
		r.net.isolate("n2", r.names, true)
		time.Sleep(leaseTTL)
		if self, holds := n.Self(); holds || self != s.Owner {
			r.Errorf("without a lease it's %+v, holds %t", self, holds)
		}
		r.net.isolate("n2", r.names, false)
	})
}

func TestSoleHostIsNobodyAndOwnsAll(t *testing.T) {
	t.Parallel()
	place := newMemory()
	inPreparedBubble(t, 1, func(r *rig) { r.nodes["n1"].memory = place }, func(r *rig) { r.open("n1", "a") })
	n, err := Open(t.Context(), Config{memory: place})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if self, holds := n.Self(); !holds || self != (Owner{}) {
		t.Errorf("it's %+v, holds %t", self, holds)
	}
	owner, epoch, err := n.Owner(t.Context(), "a")
	if err != nil || owner != (Owner{}) || epoch == 0 {
		t.Errorf("owner %+v at %d (%v)", owner, epoch, err)
	}
	if s, err := n.Session(t.Context(), "a"); err != nil || s.Owner != (Owner{}) {
		t.Errorf("session %+v (%v)", s, err)
	}
	s, err := n.OpenSession(t.Context(), host.Session{ID: "b"})
	if err != nil || s.Owner != (Owner{}) {
		t.Errorf("session %+v (%v)", s, err)
	}
	if got, err := n.Place(t.Context(), "ml", 5); err != nil || got != nil {
		t.Errorf("places %v (%v)", got, err)
	}
}
