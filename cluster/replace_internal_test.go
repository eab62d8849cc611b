package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestHostThatLostItsDiskTakesItsOwnPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		former, memory := r.nodes[victim].ID(), r.nodes[victim].memory
		s := r.open(victim, "a")
		r.kill(victim)
		r.nodes[victim].memory = newMemory()
		began := time.Now()
		r.start(victim)
		if took := time.Since(began); took > 2*(leaseTTL+leaseGrace) {
			r.Errorf("it took %s", took)
		}
		r.voters(3)
		if row := r.nodes[r.leader()].Node.machine.member(former); row == nil || row.Status != StatusLeft {
			r.Errorf("its former self is %+v", row)
		}
		r.eventually(5*time.Second, "its session has an owner", func() bool {
			owner, epoch, err := r.nodes[victim].Owner(r.Context(), "a")
			return err == nil && epoch > s.Epoch && owner.Node != former
		})
		if n := len(r.nodes[victim].servers()); n != 3 {
			r.Errorf("Raft knows %d", n)
		}
		r.open(victim, "b")
		if err := r.nodes[victim].Close(); err != nil {
			r.Fatal(err)
		}
		r.nodes[victim].Node = nil
		r.nodes[victim].memory = memory
		wantReason(r, r.tryStart(victim, 10*time.Second), errdefs.NodeRemoved)
	})
}

// TestCopiedDirectoryIsRefusedAndGetsNoneOfItsOriginalsMessages starts one elsewhere.
func TestCopiedDirectoryIsRefusedAndGetsNoneOfItsOriginalsMessages(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		original := r.nodes[r.others(r.leader())[0]]
		lease, term := original.Lease(), original.Overview().Term
		r.add("copy")
		r.nodes["copy"].memory = &memory{identity: original.memory.identity, logs: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
		refused := make(chan error, 1)
		go func() { refused <- r.tryStart("copy", 20*time.Second) }()
		for len(refused) == 0 {
			for _, name := range []string{"n1", "n2", "n3"} {
				if at := r.nodes[name].mesh.address(original.ID()); at != original.address {
					r.Fatalf("%s looks for it at %s", name, at)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		wantReason(r, <-refused, errdefs.Exists)
		if now := original.Lease(); now.Incarnation != lease.Incarnation || !now.Valid(original.mesh.clock.Now()) || original.Overview().Term != term {
			r.Errorf("the original has %+v after %+v, in term %d after %d", now, lease, original.Overview().Term, term)
		}
		r.open(original.name, "a")
	})
}
