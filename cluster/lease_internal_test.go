package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lan is the fast network.
var lan = timing{TimingLAN, 1}

// world is one true time, and a clock of each node that runs at its own rate from
// its own start.
type world struct{ rate, began float64 }

func (w world) at(t float64) time.Duration { return time.Duration((t + w.began) * w.rate) }

// TestNoTwoLeasesAreValidAtOnce has a node renew with a leader, and the next owner
// begin when that leader, or its successor, says that the node's lease has ended.
// Clocks run up to a tenth too fast or too slow, and messages take any time.
func TestNoTwoLeasesAreValidAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := func(name string) world {
			return world{rapid.Float64Range(0.9, 1.1).Draw(t, name), rapid.Float64Range(0, 1e13).Draw(t, name+" began")}
		}
		node, first, second := clock("node"), clock("leader"), clock("successor")
		wait := func(name string) float64 { return rapid.Float64Range(0, 3e9).Draw(t, name) }
		now, held, dead := 0.0, Lease{}, time.Duration(0)
		for range rapid.IntRange(1, 20).Draw(t, "renewals") {
			sent := now
			received := sent + wait("there")
			now = received + wait("back")
			dead = max(dead, lan.deadAt(first.at(received)))
			if l := lan.granted(1, node.at(sent), false); l.Deadline > held.Deadline {
				held = l
			}
			ends := float64(held.Deadline)/node.rate - node.began
			condemned := float64(dead)/first.rate - first.began
			if condemned < ends {
				t.Fatalf("the leader gives the sessions away at %v, and the lease ends at %v", condemned, ends)
			}
			// A successor begins after the last message that the leader verified itself for.
			elected := received + wait("election")
			if after := float64(lan.deadAt(second.at(elected)))/second.rate - second.began; after < ends {
				t.Fatalf("the successor gives the sessions away at %v, and the lease ends at %v", after, ends)
			}
			now += wait("pause")
		}
	})
}

func TestLeaseIsValidUntilItsDeadlineAlone(t *testing.T) {
	t.Parallel()
	l := lan.granted(7, time.Second, false)
	for at, want := range map[time.Duration]bool{0: true, 2*time.Second - 1: true, 2 * time.Second: false, 3 * time.Second: false} {
		if l.Valid(at) != want {
			t.Errorf("at %s it's %t", at, !want)
		}
	}
	if (Lease{}).Valid(0) {
		t.Error("no lease is valid")
	}
	if alone := lan.granted(7, time.Second, true); !alone.Valid(1 << 62) {
		t.Error("a sole member's lease ends")
	}
}
