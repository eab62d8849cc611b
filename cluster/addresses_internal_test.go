package cluster

import (
	"maps"
	"path/filepath"
	"testing"
	"time"
)

func TestEveryNodeKnowsWhereTheMembersAreAndWhoHasLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		gone := r.nodes["n3"].ID()
		want := map[string]string{}
		for _, n := range r.nodes {
			want[n.ID()] = n.address
		}
		if got := r.nodes["n2"].Addresses(); !maps.Equal(got, want) {
			r.Errorf("it knows %v, want %v", got, want)
		}
		if r.nodes["n2"].Removed(gone) || r.nodes["n2"].Removed("nobody") {
			r.Error("a member, or nobody, was removed")
		}
		if err := r.nodes["n3"].Leave(r.Context()); err != nil {
			r.Fatal(err)
		}
		time.Sleep(time.Second)
		delete(want, gone)
		if got := r.nodes["n2"].Addresses(); !maps.Equal(got, want) || !r.nodes["n2"].Removed(gone) {
			r.Errorf("it knows %v, want %v", got, want)
		}
	})
}

func TestNodeBelongsToAClusterOnceItIsAMember(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "registry")
	if id, err := Belongs(dir); id != "" || err != nil {
		t.Errorf("a directory that isn't there belongs to %q, %v", id, err)
	}
	if _, err := NodeID(dir); err != nil {
		t.Fatal(err)
	}
	if id, err := Belongs(dir); id != "" || err != nil {
		t.Errorf("before the first start it belongs to %q, %v", id, err)
	}
	onDisk := func(r *rig) { r.nodes["n1"].memory, r.nodes["n1"].dir = nil, dir }
	inPreparedBubble(t, 1, onDisk, func(r *rig) {
		want := r.nodes["n1"].Overview().Cluster
		if id, err := Belongs(dir); id != want || want == "" || err != nil {
			r.Errorf("it belongs to %q, %v, want %q", id, err, want)
		}
	})
}
