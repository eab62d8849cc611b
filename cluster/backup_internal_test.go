package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// backedUp has a follower of three back up ten sessions with state, the moment after
// the last was acknowledged by another node.
func (r *rig) backedUp() (backup []byte, epochs map[host.SessionID]uint64) {
	r.Helper()
	r.voters(3)
	epochs = map[host.SessionID]uint64{}
	for i := range 10 {
		s := r.open(r.names[i%3], fmt.Sprint("s", i))
		epochs[s.ID] = s.Epoch
		if _, err := r.nodes[r.names[i%3]].SetState(r.Context(), s.ID, s.Epoch, Change{Key: "k", Value: []byte(s.ID)}); err != nil {
			r.Fatal(err)
		}
	}
	if _, err := r.nodes["n1"].ClaimProcess(r.Context(), host.ProcessRecord{Worker: "w", Pool: "ml", Node: "n1"}); err != nil {
		r.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.nodes[r.others(r.leader())[1]].Backup(r.Context(), &out); err != nil {
		r.Fatal(err)
	}
	return out.Bytes(), epochs
}

func TestBackupOfAnyNodeBecomesAClusterOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "restored")
	inBubble(t, 3, func(r *rig) {
		backup, epochs := r.backedUp()
		was, other := r.nodes["n1"].mesh.cluster(), r.nodes["n2"].ID()
		done, err := Restore(dir, bytes.NewReader(backup), 0)
		if err != nil || done.From != was || done.Sessions != 10 || done.Generation == 0 {
			r.Fatalf("%+v (%v)", done, err)
		}
		r.closeAll()
		for _, name := range r.names {
			r.nodes[name].Node = nil
		}
		r.names = nil
		r.add("new")
		r.nodes["new"].memory, r.nodes["new"].dir = nil, dir
		r.start("new")
		n := r.nodes["new"]
		r.eventually(5*time.Second, "all sessions have an owner", func() bool { return n.ownedBy() == 10 })
		for id, before := range epochs {
			owner, epoch, err := n.Owner(r.Context(), id)
			if err != nil || owner.Node != n.ID() || epoch <= before || epoch>>generationShift < done.Generation {
				r.Errorf("%s is at epoch %d of %+v, after %d (%v)", id, epoch, owner, before, err)
			}
			values, err := n.State(r.Context(), id)
			if s, _ := n.Session(r.Context(), id); err != nil || string(values["k"].Bytes) != string(id) || s.Home != "" {
				r.Errorf("%s: state %v, home %q (%v)", id, values, s.Home, err)
			}
		}
		if n.mesh.cluster() != done.Cluster || done.Cluster == was || n.ID() != done.Node || n.ID() == other {
			r.Errorf("node %s of cluster %s, restored as %+v", n.ID(), n.mesh.cluster(), done)
		}
		if all, _ := n.Processes(r.Context()); len(all) != 0 || len(n.Overview().Members) != 1 {
			r.Errorf("it has %v of processes, and members %+v", all, n.Overview().Members)
		}
		r.add("n2")
		r.start("n2")
		r.open("n2", "later")
	})
}

// TestRestoredHostWithoutOthersServesItsSessions opens what was restored with no transport.
func TestRestoredHostWithoutOthersServesItsSessions(t *testing.T) {
	t.Parallel()
	first := openNode(t, t.TempDir())
	s, err := first.OpenSession(t.Context(), named("a"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := first.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // an empty one is taken
	done, err := Restore(dir, iotest.OneByteReader(&out), 41)
	if err != nil || done.Generation != 42 {
		t.Fatalf("%+v (%v)", done, err)
	}
	n := openNode(t, dir)
	got, err := n.Session(t.Context(), "a")
	if err != nil || got.Metadata["user"] != "7" || got.Home != "" {
		t.Errorf("%+v (%v)", got, err)
	}
	bound, err := n.BindSession(t.Context(), "a", "w2", got.Epoch)
	if err != nil || bound.Epoch <= s.Epoch || bound.Epoch>>generationShift < 42 {
		t.Errorf("%+v after %d (%v)", bound, s.Epoch, err)
	}
	if aside := n.SetAside(); len(aside) != 0 {
		t.Error(aside)
	}
}

func TestWhatIsNoWholeBackupIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	n := openNode(t, t.TempDir())
	if _, err := n.OpenSession(t.Context(), named("a")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := n.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	good := out.String()
	header, _, _ := strings.Cut(strings.TrimPrefix(good, backupMagic), "\n")
	with := func(change func(*backupHeader)) string {
		var h backupHeader
		if err := json.Unmarshal([]byte(header), &h); err != nil {
			t.Fatal(err)
		}
		change(&h)
		line, _ := json.Marshal(h)
		return strings.Replace(good, header, string(line), 1)
	}
	dir := filepath.Join(t.TempDir(), "d")
	refused := func(what, content string, want errdefs.Reason) {
		t.Helper()
		_, err := Restore(dir, strings.NewReader(content), 0)
		if errdefs.ReasonOf(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range len(good) {
		refused(fmt.Sprint("cut at ", i), good[:i], errdefs.InvalidArguments)
	}
	for i := len(backupMagic) + len(header) + 1; i < len(good); i++ {
		flipped := []byte(good)
		flipped[i] ^= 0x10
		refused(fmt.Sprint("flipped at ", i), string(flipped), errdefs.InvalidArguments)
	}
	refused("more behind it", good+"x", errdefs.InvalidArguments)
	refused("a newer format", with(func(h *backupHeader) { h.Format++ }), errdefs.VersionMismatch)
	refused("newer rules", with(func(h *backupHeader) { h.Rules = rulesVersion + 1 }), errdefs.VersionMismatch)
	_, err := Restore(dir, io.MultiReader(strings.NewReader(good[:len(good)-5]), iotest.ErrReader(errors.New("no"))), 0)
	wantReason(t, err, errdefs.Internal)
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	_, err = Restore(dir, strings.NewReader(good), maxGeneration)
	wantReason(t, err, errdefs.InvalidArguments)
	if _, err := Restore(dir, strings.NewReader(good), 0); err != nil {
		t.Fatal(err)
	}
	refused("a directory in use", good, errdefs.Conflict)
}

func TestBackupEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		leader := r.leader()
		for _, other := range r.others(leader) {
			r.kill(other)
		}
		ctx, cancel := soon()
		defer cancel()
		wantReason(r, r.nodes[leader].Backup(ctx, io.Discard), errdefs.Deadline)
	})
}
