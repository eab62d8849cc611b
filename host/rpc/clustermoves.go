package rpc

import (
	"cmp"
	"context"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// MoveSession implements snakepitv1.ClusterServer.
func (m *membership) MoveSession(ctx context.Context, r *snakepitv1.ClusterMoveSessionRequest) (*snakepitv1.ClusterMoveSessionResponse, error) {
	switch {
	case m.cluster.View == nil:
		return nil, noNode()
	case r.GetNode() == "":
		return nil, errdefs.New(errdefs.InvalidArguments, "no node is named")
	}
	ctx, cancel := sooner(ctx)
	defer cancel()
	from, err := m.mover().MoveSession(ctx, host.SessionID(r.GetSession()), r.GetNode())
	if err != nil {
		return nil, err
	}
	return &snakepitv1.ClusterMoveSessionResponse{From: from}, nil
}

func (m *membership) mover() Mover { return Mover{Engine: m.engine, View: m.cluster.View} }

// Rebalance implements snakepitv1.ClusterServer.
func (m *membership) Rebalance(r *snakepitv1.ClusterRebalanceRequest, stream grpc.ServerStreamingServer[snakepitv1.ClusterRebalanceResponse]) error {
	if m.cluster.View == nil {
		return noNode()
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var unsent error
	send := func(w *snakepitv1.ClusterRebalanceResponse) {
		if unsent == nil {
			if unsent = stream.Send(w); unsent != nil {
				cancel()
			}
		}
	}
	done := func(s host.Shift, err error) {
		send(&snakepitv1.ClusterRebalanceResponse{Kind: &snakepitv1.ClusterRebalanceResponse_Shift{Shift: shiftToWire(s, err)}})
	}
	err := m.mover().Rebalance(ctx, Rebalance{
		Pool: r.GetPool(), DryRun: r.GetDryRun(), Wait: span(r.GetWaitUs()), Done: done,
		Planned: func(b host.Balance) {
			send(&snakepitv1.ClusterRebalanceResponse{Kind: &snakepitv1.ClusterRebalanceResponse_Plan{Plan: balanceToWire(b)}})
			for i := 0; r.GetDryRun() && i < len(b.Shifts); i++ {
				done(b.Shifts[i], nil)
			}
		},
	})
	return cmp.Or(unsent, err)
}

// span is a duration in microseconds, whatever somebody says.
func span(us uint64) time.Duration {
	return time.Duration(min(us, math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond //nolint:gosec // it's bounded
}

func balanceToWire(b host.Balance) *snakepitv1.ClusterBalance {
	w := &snakepitv1.ClusterBalance{Moves: uint64(len(b.Shifts))}
	for _, k := range b.Kept {
		w.Kept = append(w.Kept, &snakepitv1.ClusterKept{Pool: k.Pool, Node: k.Node, Sessions: uint64(max(k.Sessions, 0)), NoRoom: k.NoRoom})
	}
	for _, o := range b.LeftOut {
		w.LeftOut = append(w.LeftOut, &snakepitv1.ClusterLeftOut{Node: o.Node, Why: o.Why})
	}
	return w
}

func shiftToWire(s host.Shift, err error) *snakepitv1.ClusterShift {
	w := &snakepitv1.ClusterShift{Session: string(s.Session), Pool: s.Pool, From: s.From.Node, To: s.To.Node}
	if err != nil {
		w.Error = errdefs.ToProto(err)
	}
	return w
}
