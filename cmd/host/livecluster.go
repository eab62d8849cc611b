package main

import (
	"context"

	"github.com/snakepit-go/snakepit/host/members"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Cluster implements clusterView.
func (h liveHost) Cluster(ctx context.Context) (members.Cluster, error) {
	w, err := h.ClusterStatus(ctx)
	if err != nil {
		return members.Cluster{}, err
	}
	return members.FromWire(w), nil
}

// NewToken implements clusterView.
func (h liveHost) NewToken(ctx context.Context, uses uint32, label string) (string, error) {
	return h.NewClusterToken(ctx, uses, label)
}

// Leave implements clusterChange.
func (h liveHost) Leave(ctx context.Context, force bool, step func(string, uint64)) error {
	return h.LeaveCluster(ctx, force, func(r *snakepitv1.ClusterLeaveResponse) { step(r.GetStep(), r.GetSessions()) })
}

// Remove implements clusterChange.
func (h liveHost) Remove(ctx context.Context, id string) error { return h.RemoveNode(ctx, id) }

// Forget implements clusterChange.
func (h liveHost) Forget(ctx context.Context, id string) error { return h.ForgetNode(ctx, id) }

// Transfer implements clusterChange.
func (h liveHost) Transfer(ctx context.Context, id string) error {
	return h.TransferLeadership(ctx, id)
}
