package cluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// onDisk gives the nodes of a bubble directories.
func onDisk(dir string) func(*rig) {
	return func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].memory, r.nodes[name].dir = nil, filepath.Join(dir, name)
		}
	}
}

// survived has three nodes die, of which one is recovered, and starts it.
func (r *rig) survived() (before host.Session, done Recovered) {
	r.Helper()
	r.voters(3)
	before = r.open("n2", "a")
	r.open("n1", "b")
	if _, err := r.nodes["n2"].SetState(r.Context(), "a", before.Epoch, Change{Key: "k", Value: []byte("v")}); err != nil {
		r.Fatal(err)
	}
	_, err := Recover(r.nodes["n1"].dir)
	wantReason(r, err, errdefs.Conflict) // it runs
	for _, name := range r.names {
		r.kill(name)
	}
	if done, err = Recover(r.nodes["n1"].dir); err != nil {
		r.Fatal(err)
	}
	r.start("n1")
	return before, done
}

func TestLastNodeGoesOnWithoutItsMajority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inPreparedBubble(t, 3, onDisk(dir), func(r *rig) {
		before, done := r.survived()
		n := r.nodes["n1"]
		r.eventually(5*time.Second, "it owns all sessions", func() bool { return n.ownedBy() == 2 })
		_, epoch, err := n.Owner(r.Context(), "a")
		values, _ := n.State(r.Context(), "a")
		if err != nil || epoch <= before.Epoch || epoch>>generationShift < done.Generation || string(values["k"].Bytes) != "v" {
			r.Errorf("epoch %d after %d, state %v (%v)", epoch, before.Epoch, values, err)
		}
		if len(done.Gone) != 2 || done.Sessions != 2 || done.From == done.Cluster || n.mesh.cluster() != done.Cluster {
			r.Errorf("recovered as %+v, in cluster %s", done, n.mesh.cluster())
		}
		if n.Lease().Deadline != Forever || votersOf(n.Node) != 1 {
			r.Errorf("lease %+v, %d voters", n.Lease(), votersOf(n.Node))
		}
		wantReason(r, r.tryStart("n2", 10*time.Second), errdefs.WrongCluster)
		r.add("n4")
		r.start("n4")
		r.open("n4", "later")
		if _, err := Recover(filepath.Join(dir, "nobody")); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			r.Error(err)
		}
		if err := n.Close(); err != nil {
			r.Fatal(err)
		}
		n.Node = nil
		r.start("n1")
		r.open("n1", "last")
	})
}

// TestOldMajorityNeverReachesTheRecoveredNode has the others come back, and elect a
// leader of a higher term that takes the recovered node for a follower.
func TestOldMajorityNeverReachesTheRecoveredNode(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, onDisk(t.TempDir()), func(r *rig) {
		r.survived()
		n := r.nodes["n1"]
		r.open("n1", "mine")
		term := n.Overview().Term
		r.net.set("n2", "n1", true) // each starts as if the other two were the first's cluster still
		r.net.set("n3", "n1", true)
		r.startTogether()
		r.net.set("n2", "n1", false)
		r.net.set("n3", "n1", false)
		for i := range 20 {
			time.Sleep(500 * time.Millisecond)
			if i < 4 {
				_ = r.nodes["n2"].Transfer(r.Context(), r.nodes[r.names[1+i%2]].ID()) // it may lead already
			}
			if o := n.Overview(); o.Leader != n.ID() || o.Term != term {
				r.Fatalf("the recovered node sees %+v", o)
			}
		}
		if o := r.nodes["n2"].Overview(); o.Term <= term || o.Leader == n.ID() {
			r.Errorf("the others' leader can't have done harm: %+v", o)
		}
		if _, err := n.Session(r.Context(), "mine"); err != nil {
			r.Error(err)
		}
		err := r.nodes["n2"].mesh.at(r.Context(), n.ID(), proposing)
		wantReason(r, err, errdefs.WrongCluster)
		err = n.mesh.peers.ask(r.Context(), peer{"", "n2:1"}, proposing)
		wantReason(r, err, errdefs.WrongCluster)
	})
}

func TestOnlyMemberNeedsNoRecovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, dir)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Recover(dir)
	wantReason(t, err, errdefs.Conflict)
	openNode(t, dir)
}

// TestRecoveryThatWasCutShortIsMadeAgain ends one after the identity was written.
func TestRecoveryThatWasCutShortIsMadeAgain(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, onDisk(t.TempDir()), func(r *rig) {
		r.voters(3)
		r.open("n1", "a")
		for _, name := range r.names {
			r.kill(name)
		}
		id, _, err := readIdentity(r.nodes["n1"].dir)
		if err != nil {
			r.Fatal(err)
		}
		id.Generation++
		id.Cluster = newUUID()
		if err := id.write(r.nodes["n1"].dir); err != nil {
			r.Fatal(err)
		}
		done, err := Recover(r.nodes["n1"].dir)
		if err != nil || done.Generation <= id.Generation {
			r.Fatalf("%+v (%v)", done, err)
		}
		r.start("n1")
		r.open("n1", "b")
	})
}

// proposing asks a node to write.
func proposing(ctx context.Context, c snakepitv1.NodeClient) error {
	_, err := c.Propose(ctx, &snakepitv1.ProposeRequest{})
	return err
}
