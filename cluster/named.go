package cluster

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// clusterKey is under what a node says with each question to which cluster it belongs.
const clusterKey = "snakepit-cluster"

// named says it.
func (p *peers) named(ctx context.Context, method string, request, response any, conn *grpc.ClientConn, next grpc.UnaryInvoker, o ...grpc.CallOption) error {
	if own := p.cluster(); own != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, clusterKey, own)
	}
	return next(ctx, method, request, response, conn, o...)
}

// strangers refuses those of another cluster, such as one that this was recovered from,
// whose nodes think that they know this one. Who wants to join is judged by its name.
func (m *mesh) strangers(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod == snakepitv1.Node_Join_FullMethodName || info.FullMethod == snakepitv1.Node_Introduce_FullMethodName {
		return next(ctx, request)
	}
	own := m.cluster()
	for _, theirs := range metadata.ValueFromIncomingContext(ctx, clusterKey) {
		if own != "" && theirs != own {
			return nil, errdefs.New(errdefs.WrongCluster, "whoever asks is of cluster %s, and this is %s", names.Cut(theirs), own)
		}
	}
	return next(ctx, request)
}
