package cluster

import (
	"testing"
	"time"
)

func TestLeaderKnowsHowOldEachLeaseIs(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		time.Sleep(time.Second)
		leader := r.leader()
		ages := r.nodes[leader].Renewals()
		if len(ages) != 3 {
			r.Fatalf("%d leases: %v", len(ages), ages)
		}
		for id, age := range ages {
			if age > 2*renewEvery {
				r.Errorf("%s renewed %s ago", id, age)
			}
		}
		victim := r.others(leader)[0]
		id := r.nodes[victim].ID()
		if all := r.nodes[victim].Renewals(); all != nil {
			r.Errorf("one that doesn't lead knows %v", all)
		}
		if left := r.nodes[victim].LeaseLeft(); left < leaseTTL-2*renewEvery || left > leaseTTL {
			r.Errorf("its lease lasts for %s", left)
		}
		r.kill(victim)
		time.Sleep(leaseTTL)
		if age := r.nodes[leader].Renewals()[id]; age < leaseTTL || age > leaseTTL+2*renewEvery {
			r.Errorf("a second after its death it renewed %s ago", age)
		}
		r.eventually(time.Second, "a dead node has no lease", func() bool {
			_, has := r.nodes[leader].Renewals()[id]
			return !has
		})
	})
}

func TestSoleNodesLeaseHasNoEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		time.Sleep(time.Second)
		if left := r.nodes["n1"].LeaseLeft(); left != Forever {
			r.Errorf("it lasts for %s", left)
		}
	})
}
