package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
)

// TestLogIsShortenedWhileTheNodeLives lets snapshots come often, in fake time.
func TestLogIsShortenedWhileTheNodeLives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := openNode(t, dir)
		often := n.raft.ReloadableConfig()
		often.TrailingLogs, often.SnapshotThreshold = 10, 20
		if err := n.raft.ReloadConfig(often); err != nil {
			t.Fatal(err)
		}
		opened := map[host.SessionID]uint64{}
		for i := range 100 {
			s, err := n.OpenSession(t.Context(), named(fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			opened[s.ID] = s.Epoch
			time.Sleep(10 * time.Second)
		}
		first, err := n.disk.bolt.FirstIndex()
		if err != nil || first < 50 {
			t.Errorf("the log begins at entry %d (%v)", first, err)
		}
		if snapshots, err := n.disk.snapshots.List(); err != nil || len(snapshots) != keepSnaps {
			t.Errorf("%d snapshots (%v)", len(snapshots), err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = openNode(t, dir)
		for _, s := range n.machine.sessions() {
			if opened[s.ID] != s.Epoch {
				t.Errorf("%s has epoch %d, want %d", s.ID, s.Epoch, opened[s.ID])
			}
			delete(opened, s.ID)
		}
		if len(opened) > 0 {
			t.Errorf("lost: %v", opened)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if st, err := os.Stat(filepath.Join(dir, snapshotsDir)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("others may read the snapshots: %v (%v)", st.Mode(), err)
	}
}

func TestNothingNewNeedsNoSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		n := openNode(t, dir)
		if _, err := n.Sessions(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, snapshotsDir)); err != nil || len(left) > 0 {
		t.Errorf("snapshots %v (%v)", left, err)
	}
}
