package cluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func nodeID(t *testing.T, dir string) string {
	t.Helper()
	id, err := cluster.NodeID(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestNodeHasTheIDThatWasAskedForBeforeItsFirstStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "registry")
	id := nodeID(t, dir)
	if again := nodeID(t, dir); id == "" || again != id {
		t.Fatalf("%q became %q", id, again)
	}
	n := open(t, dir)
	if n.ID() != id || len(n.SetAside()) > 0 {
		t.Errorf("the node is %q, want %q; set aside: %v", n.ID(), id, n.SetAside())
	}
	if s := mustOpen(t, n, "s"); s.Epoch >= 1<<40 {
		t.Errorf("epoch %x is of a log that comes after a lost one", s.Epoch)
	}
	closed(t, n)
	if again := nodeID(t, dir); again != id {
		t.Errorf("it's %q afterwards", again)
	}
	if again := open(t, dir); again.ID() != id {
		t.Errorf("it's %q at the next start", again.ID())
	}
}

func TestLogThatIsLostIsMissedWhateverWasAskedBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nodeID(t, dir)
	n := open(t, dir)
	before := mustOpen(t, n, "s")
	closed(t, n)
	nodeID(t, dir)
	for _, name := range []string{"raft.db", "snapshots"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if after := mustOpen(t, open(t, dir), "s"); after.Epoch <= before.Epoch {
		t.Errorf("epoch %x after %x", after.Epoch, before.Epoch)
	}
}

func TestNoIDIsGuessedBesideALog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed(t, open(t, dir))
	if err := os.Remove(filepath.Join(dir, "node.json")); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.NodeID(dir)
	wantReason(t, err, errdefs.Internal)
	if _, err := os.Stat(filepath.Join(dir, "node.json")); err == nil {
		t.Error("there's another now")
	}
}
