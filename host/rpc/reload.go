package rpc

import (
	"cmp"
	"context"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Reload implements snakepitv1.HostServer. A client that doesn't read its steps holds
// up its own stream alone, and no worker.
func (a *api) Reload(req *snakepitv1.ReloadRequest, stream grpc.ServerStreamingServer[snakepitv1.ReloadResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var unsent error
	err := a.engine.Reload(ctx, req.GetPool(), host.ReloadOptions{Progress: func(p host.ReloadProgress) {
		if unsent == nil {
			if unsent = stream.Send(reloadResponseOf(p)); unsent != nil {
				cancel()
			}
		}
	}})
	return cmp.Or(unsent, err)
}

func reloadResponseOf(p host.ReloadProgress) *snakepitv1.ReloadResponse {
	return &snakepitv1.ReloadResponse{Pool: p.Pool, Total: count(p.Total), Replaced: count(p.Replaced), Worker: string(p.Worker)}
}

// DrainWorker implements snakepitv1.HostServer.
func (a *api) DrainWorker(ctx context.Context, req *snakepitv1.DrainWorkerRequest) (*snakepitv1.DrainWorkerResponse, error) {
	if err := a.engine.DrainWorker(ctx, host.WorkerID(req.GetWorker())); err != nil {
		return nil, err
	}
	return &snakepitv1.DrainWorkerResponse{}, nil
}

// KillWorker implements snakepitv1.HostServer.
func (a *api) KillWorker(ctx context.Context, req *snakepitv1.KillWorkerRequest) (*snakepitv1.KillWorkerResponse, error) {
	if err := a.engine.KillWorker(ctx, host.WorkerID(req.GetWorker())); err != nil {
		return nil, err
	}
	return &snakepitv1.KillWorkerResponse{}, nil
}
