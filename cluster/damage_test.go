package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// ruin is a directory whose node has ended like one that was killed: a snapshot has
// the old sessions, and the log alone has the late ones.
type ruin struct {
	dir       string
	old, late []string
	highest   uint64 // epoch ever given
}

func newRuin(t *testing.T) ruin {
	t.Helper()
	r := ruin{dir: t.TempDir()}
	live := t.TempDir()
	n := open(t, live)
	for i := range 20 {
		id := fmt.Sprintf("old-%02d", i)
		r.old = append(r.old, id)
		mustOpen(t, n, id)
	}
	closed(t, n)
	n = open(t, live)
	for i := range 10 {
		id := fmt.Sprintf("late-%02d", i)
		r.late = append(r.late, id)
		r.highest = mustOpen(t, n, id).Epoch
	}
	if err := os.CopyFS(r.dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r ruin) file(name string) string { return filepath.Join(r.dir, name) }

func (r ruin) size(t *testing.T, name string) int64 {
	t.Helper()
	st, err := os.Stat(r.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// snapshots are the folders of the snapshots, newest first.
func (r ruin) snapshots(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(r.file("snapshots/*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found
}

// wantBack opens what is left, expects these sessions and that all new epochs are
// greater than any before, and that a second start finds nothing more to mend.
func (r ruin) wantBack(t *testing.T, ids []string, asides int) {
	t.Helper()
	n := open(t, r.dir)
	r.wantSessions(t, n, ids)
	if aside := n.SetAside(); len(aside) != asides {
		t.Errorf("set aside %q, want %d", aside, asides)
	}
	if s := mustOpen(t, n, "new"); s.Epoch <= r.highest {
		t.Errorf("a new session has epoch %d, and %d was given before", s.Epoch, r.highest)
	}
	closed(t, n)
	n = open(t, r.dir)
	r.wantSessions(t, n, append(slices.Clone(ids), "new"))
	if aside := n.SetAside(); len(aside) > 0 {
		t.Errorf("the second start set aside %q", aside)
	}
	first := mustOpen(t, n, "newer")
	closed(t, n)
	n = open(t, r.dir)
	if s := mustOpen(t, n, "newest"); s.Epoch <= first.Epoch || s.Epoch>>40 != first.Epoch>>40 {
		t.Errorf("epoch %x after %x", s.Epoch, first.Epoch)
	}
	closed(t, n)
}

func (r ruin) wantSessions(t *testing.T, n *cluster.Node, ids []string) {
	t.Helper()
	sessions, _ := contents(t, n)
	got := []string{}
	for _, s := range sessions {
		got = append(got, string(s.ID))
	}
	want := slices.Sorted(slices.Values(ids))
	if d := cmp.Diff(append([]string{}, want...), got); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

func TestTornLogIsSetAsideAndTheSnapshotTakesOver(t *testing.T) {
	t.Parallel()
	whole := newRuin(t).size(t, "raft.db")
	for _, at := range []int64{1, 512, 4096, 8191, 8192, 12288, 16384, 20480, whole / 2, whole - 4096, whole - 1} {
		if at >= whole {
			continue
		}
		t.Run(fmt.Sprintf("%dOf%d", at, whole), func(t *testing.T) {
			t.Parallel()
			r := newRuin(t)
			if err := os.Truncate(r.file("raft.db"), at); err != nil {
				t.Fatal(err)
			}
			n := open(t, r.dir)
			intact := len(n.SetAside()) == 0 // what is cut off may be of no use
			closed(t, n)
			if intact {
				r.wantBack(t, slices.Concat(r.old, r.late), 0)
				return
			}
			if left, err := filepath.Glob(r.file("raft.db.torn*")); err != nil || len(left) != 1 {
				t.Errorf("the torn log is kept as %v (%v)", left, err)
			}
			r.wantBack(t, r.old, 0)
		})
	}
}

func TestGarbageInTheLogIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	f, err := os.OpenFile(r.file("raft.db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	garbage := strings.Repeat("garbage ", 1024)
	if _, err := f.WriteString(garbage); err != nil {
		t.Fatal(err)
	}
	f.Close()
	r.wantBack(t, r.old, 1)
}

func TestLostLogRaisesTheGeneration(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	if err := os.Remove(r.file("raft.db")); err != nil {
		t.Fatal(err)
	}
	r.wantBack(t, r.old, 0)
	r = newRuin(t)
	if err := os.Truncate(r.file("raft.db"), 0); err != nil {
		t.Fatal(err)
	}
	r.wantBack(t, r.old, 0)
}

func TestLostLogWithoutASnapshotLeavesNothingButHigherEpochs(t *testing.T) {
	t.Parallel()
	for _, lose := range []func(path string) error{os.Remove, func(path string) error { return os.Truncate(path, 10_000) }} {
		r := newRuin(t)
		if err := errors.Join(lose(r.file("raft.db")), os.RemoveAll(r.file("snapshots"))); err != nil {
			t.Fatal(err)
		}
		n := open(t, r.dir)
		r.wantSessions(t, n, nil)
		closed(t, n)
		r.wantBack(t, nil, 0)
	}
}

// TestGenerationsGrowWithEachLoss loses the log again and again: the generation
// stands in no snapshot when it's lost at once, and still none comes twice.
func TestGenerationsGrowWithEachLoss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	highest := uint64(0)
	for range 5 {
		n := open(t, dir)
		s := mustOpen(t, n, "a")
		if s.Epoch <= highest {
			t.Errorf("epoch %x after %x", s.Epoch, highest)
		}
		highest = s.Epoch
		closed(t, n)
		if err := errors.Join(os.Remove(filepath.Join(dir, "raft.db")), os.RemoveAll(filepath.Join(dir, "snapshots"))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdentityFromAnOldCopyLearnsTheGeneration(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	old, err := os.ReadFile(r.file("node.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.file("raft.db")); err != nil {
		t.Fatal(err)
	}
	r.wantBack(t, r.old, 0)
	if err := os.WriteFile(r.file("node.json"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	n := open(t, r.dir)
	highest := mustOpen(t, n, "last").Epoch
	closed(t, n)
	if err := errors.Join(os.Remove(r.file("raft.db")), os.RemoveAll(r.file("snapshots"))); err != nil {
		t.Fatal(err)
	}
	if s := mustOpen(t, open(t, r.dir), "last"); s.Epoch <= highest {
		t.Errorf("epoch %x after %x", s.Epoch, highest)
	}
}

func damageSnapshot(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "state.bin")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0xff
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedSnapshotIsSetAsideAndTheLogTakesOver(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	damageSnapshot(t, r.snapshots(t)[0])
	r.wantBack(t, slices.Concat(r.old, r.late), 1)
	if left, err := filepath.Glob(r.file("snapshot-*.bad")); err != nil || len(left) != 1 {
		t.Errorf("the damaged snapshot is kept as %v (%v)", left, err)
	}
}

func TestLogThatCannotFollowTheSnapshotIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	editLog(t, r, func(log *raftboltdb.BoltStore, _, last uint64) error { return log.DeleteRange(1, last-2) })
	r.wantBack(t, r.old, 1)
}

func TestHoleInTheLogSetsItAside(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	editLog(t, r, func(log *raftboltdb.BoltStore, _, last uint64) error { return log.DeleteRange(last-3, last-2) })
	r.wantBack(t, r.old, 1)
}

func TestNodeThatEndedInItsVeryFirstStartBeginsAnew(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	editLog(t, r, func(log *raftboltdb.BoltStore, first, last uint64) error { return log.DeleteRange(first, last) })
	if err := os.RemoveAll(r.file("snapshots")); err != nil {
		t.Fatal(err)
	}
	r.wantBack(t, nil, 1)
}

func TestSecondNodeTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := open(t, dir)
	mustOpen(t, n, "a")
	underWay := filepath.Join(dir, "snapshots", "2-9-1.tmp")
	if err := os.Mkdir(underWay, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Open(t.Context(), cluster.Config{Dir: dir})
	wantReason(t, err, errdefs.Conflict)
	if _, err := os.Stat(underWay); err != nil {
		t.Errorf("the other's snapshot is gone: %v", err)
	}
}

func TestLogThatEndsBeforeTheSnapshotIsDropped(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	editLog(t, r, func(log *raftboltdb.BoltStore, _, last uint64) error { return log.DeleteRange(15, last) })
	r.highest = 0 // the late ones are as if they had never been
	r.wantBack(t, r.old, 0)
}

// editLog changes a node's log while nobody has it open.
func editLog(t *testing.T, r ruin, edit func(log *raftboltdb.BoltStore, first, last uint64) error) {
	t.Helper()
	log, err := raftboltdb.NewBoltStore(r.file("raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := log.FirstIndex()
	last, err2 := log.LastIndex()
	if err := errors.Join(err1, err2, edit(log, first, last), log.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestEntryOfANewerProgramKeepsTheNodeClosedAndTheLogWhole(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	entry, err := proto.Marshal(&snakepitv1.RegistryEntry{Version: 9})
	if err != nil {
		t.Fatal(err)
	}
	var newer uint64
	editLog(t, r, func(log *raftboltdb.BoltStore, _, last uint64) error {
		newer = last + 1
		var before raft.Log
		if err := log.GetLog(last, &before); err != nil {
			return err
		}
		return log.StoreLog(&raft.Log{Index: newer, Term: before.Term, Type: raft.LogCommand, Data: entry})
	})
	for range 2 {
		_, err = cluster.Open(t.Context(), cluster.Config{Dir: r.dir})
		wantReason(t, err, errdefs.VersionMismatch)
		if !strings.Contains(fmt.Sprint(err), fmt.Sprintf("entry %d", newer)) || !strings.Contains(fmt.Sprint(err), "version 9") {
			t.Errorf("%v doesn't say what is needed", err)
		}
	}
	editLog(t, r, func(log *raftboltdb.BoltStore, first, last uint64) error {
		var kept raft.Log
		if err := log.GetLog(newer, &kept); err != nil || string(kept.Data) != string(entry) || first != 1 {
			t.Errorf("the entry is gone: %v", err)
		}
		return log.DeleteRange(newer, last) // what the newer program's downgrade would do
	})
	r.wantBack(t, slices.Concat(r.old, r.late), 0)
}

func TestUnfinishedSnapshotIsRemoved(t *testing.T) {
	t.Parallel()
	r := newRuin(t)
	unfinished := r.file("snapshots/2-9-1.tmp")
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	r.wantBack(t, slices.Concat(r.old, r.late), 0)
	if _, err := os.Stat(unfinished); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it's still there: %v", err)
	}
}

func TestIdentityIsNeverGuessed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"gone":      os.Remove,
		"cut short": func(path string) error { return os.Truncate(path, 5) },
		"somebody else's": func(path string) error {
			return os.WriteFile(path, []byte(`{"id":"ffffffff-0000-4000-8000-000000000000","generation":0}`), 0o600)
		},
	} {
		r := newRuin(t)
		if err := spoil(r.file("node.json")); err != nil {
			t.Fatal(err)
		}
		n, err := cluster.Open(context.WithoutCancel(t.Context()), cluster.Config{Dir: r.dir})
		if err == nil {
			t.Errorf("%s: it opened", name)
			closed(t, n)
			continue
		}
		if reason := errdefs.ReasonOf(err); reason != errdefs.Internal && reason != errdefs.WrongCluster {
			t.Errorf("%s: %v", name, err)
		}
	}
}
