//go:build !race

package cluster

import (
	"testing"
	"time"
)

const raced = false

// TestNewcomerTakesTheFormerAddressOfAnother isn't for the race detector: Raft 1.8.0
// reads a follower's entry while it changes the address there (updateLastAppended in
// its replication.go), and here it must.
func TestNewcomerTakesTheFormerAddressOfAnother(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		mover := r.others(r.leader())[0]
		former := r.nodes[mover].address
		r.kill(mover)
		r.nodes[mover].address = mover + ":99"
		r.start(mover)
		r.add("n4")
		r.nodes["n4"].address = former
		r.start("n4")
		for _, name := range r.names {
			r.open(name, "on-"+name)
		}
		time.Sleep(5 * time.Second)
		r.voters(3)
		r.open("n4", "later")
	})
}
