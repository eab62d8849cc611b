package rpc

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Upgrade implements snakepitv1.HostServer.
func (a *api) Upgrade(ctx context.Context, _ *snakepitv1.UpgradeRequest) (*snakepitv1.UpgradeResponse, error) {
	if a.cfg.Upgrade == nil {
		e := errdefs.New(errdefs.InvalidArguments, "this host can't be upgraded in place: it's part of another program")
		e.Hint = "restart that program on the same data directory within orphan_grace: its workers and sessions go on"
		return nil, e
	}
	pid, err := a.cfg.Upgrade(ctx)
	if err != nil {
		return nil, err
	}
	return &snakepitv1.UpgradeResponse{Pid: int32(pid)}, nil //nolint:gosec // a pid is small
}
