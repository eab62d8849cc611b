package cluster

import (
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestBoundsOfEachTimingHoldTogether(t *testing.T) {
	t.Parallel()
	for _, name := range []string{TimingLAN, TimingSlow, TimingWAN} {
		pace, err := timingOf(name)
		if err != nil {
			t.Fatal(err)
		}
		// A renewal is half its period old, in the mean, when a leader is lost.
		if lease, needed := pace.of(leaseTTL), pace.of(3*heartbeat+renewEvery/2); lease < needed {
			t.Errorf("%s: a lease of %s ends while a lost leader is replaced, which takes %s", name, lease, needed)
		}
		if fast, slow := float64(pace.deadAt(0))/1.1, float64(pace.of(leaseTTL))/0.9; fast < slow {
			t.Errorf("%s: a fast clock ends the leader's patience after %v, and a slow one the lease after %v", name, fast, slow)
		}
		if pace.of(leaderLease) > pace.of(heartbeat) {
			t.Errorf("%s: Raft refuses it", name)
		}
	}
	_, err := Open(t.Context(), Config{Dir: t.TempDir(), Timing: "brisk"})
	wantReason(t, err, errdefs.InvalidConfig)
}

func TestSlowerTimingsFailOverAsMuchLater(t *testing.T) {
	t.Parallel()
	for _, name := range []string{TimingSlow, TimingWAN} {
		for _, led := range []bool{false, true} {
			inPreparedBubble(t, 3, func(r *rig) { r.timing = name }, func(r *rig) {
				r.net.slow(20 * time.Millisecond)
				pace, _ := timingOf(name)
				took := r.failover(led, 0)
				least, most := pace.of(leaseTTL-renewEvery), pace.of(1600*time.Millisecond)
				if led {
					most = pace.of(3500 * time.Millisecond) // an election that nobody wins is held again
				}
				t.Logf("%s, led %t: %s", name, led, took)
				if took < least || took > most {
					r.Errorf("%s, led %t: it took %s, and not %s to %s", name, led, took, least, most)
				}
			})
		}
	}
}

func TestNodeOfAnotherTimingIsNotLetIn(t *testing.T) {
	t.Parallel()
	inBubble(t, 2, func(r *rig) {
		r.add("n3")
		r.timing = TimingSlow
		wantReason(r, r.tryStart("n3", 10*time.Second), errdefs.InvalidConfig)
		r.timing = TimingLAN
		r.nodes["n3"].memory = newMemory()
		r.start("n3")
	})
}
