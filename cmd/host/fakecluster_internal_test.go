package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/snakepit-go/snakepit/host/members"
)

// fakeCluster is the part of fakeHost that makes it a node.
type fakeCluster struct {
	cluster members.Cluster
	lookErr error // of Cluster
	backup  []byte
	left    bool // the host ends since it has left
}

var _ clusterHost = (*fakeHost)(nil)

func (h *fakeHost) Cluster(context.Context) (members.Cluster, error) {
	c := h.cluster
	c.Judge()
	return c, h.lookErr
}

func (h *fakeHost) NewToken(_ context.Context, uses uint32, label string) (string, error) {
	h.asked = append(h.asked, fmt.Sprintf("token %d %q", uses, label))
	return "s3cret", h.err
}

func (h *fakeHost) Backup(_ context.Context, w io.Writer) error {
	if _, err := w.Write(h.backup); err != nil {
		return err
	}
	return h.err
}

func (h *fakeHost) Leave(_ context.Context, force bool, step func(string, uint64)) error {
	h.asked = append(h.asked, fmt.Sprint("leave ", force))
	for i, name := range []string{"draining", "moving", "moving", "leaving", "left", "yodelling"} {
		step(name, uint64(max(2-i, 0)))
	}
	return h.err
}

func (h *fakeHost) Remove(_ context.Context, id string) error {
	h.asked = append(h.asked, "remove "+id)
	return h.err
}

func (h *fakeHost) Forget(_ context.Context, id string) error {
	h.asked = append(h.asked, "forget "+id)
	return h.err
}

func (h *fakeHost) Transfer(_ context.Context, id string) error {
	h.asked = append(h.asked, "transfer "+id)
	if h.err == nil {
		for i := range h.cluster.Nodes {
			n := &h.cluster.Nodes[i]
			if n.Leader = n.ID == id || id == "" && n.ID == "id-b"; n.Leader {
				h.cluster.Leader = n.ID
			}
		}
	}
	return h.err
}

// fixedCluster is three nodes of which the second has no vote left to lose, and one
// that has left.
func fixedCluster() members.Cluster {
	renewed, older := 120*time.Millisecond, 7*time.Second
	disk := members.Disk{Free: 90 << 30, Size: 200 << 30, Write: 800 * time.Microsecond}
	return members.Cluster{
		ID: "6f1c", Self: "id-a", Leader: "id-a", Term: 7, Last: 12040, Commit: 12040, Applied: 12031, Level: 3, Generation: 2, Tokens: 1,
		Lease: members.Lease{Held: true, Left: 850 * time.Millisecond},
		Nodes: []members.Node{
			{ID: "id-a", Name: "n1", Address: "10.0.0.1:7070", API: "10.0.0.1:7070", Status: "up", Member: true, Voter: true, Leader: true, Incarnation: 12, Sessions: 120, Answers: true, Applied: 12031, Renewed: &renewed, Version: "1.4.0", Rules: 3, Machine: "m1", Disk: disk, LeaseHeld: true},
			{ID: "id-b", Name: "n2", Address: "10.0.0.2:7070", API: "10.0.0.2:7070", Status: "draining", Member: true, Voter: true, Incarnation: 40, Sessions: 3, Answers: true, Applied: 12030, Renewed: &renewed, Version: "1.4.0", Rules: 3, Machine: "m2", Disk: disk, LeaseHeld: true},
			{ID: "id-c", Name: "n3", Address: "10.0.0.3:7070", Status: "down", Member: true, Voter: true, Incarnation: 41, Renewed: &older, Rules: 3, Machine: "m3"},
			{ID: "id-d", Name: "n3", Address: "10.0.0.3:7070", Status: "left", Incarnation: 9, Unverified: 2},
		},
	}
}
