package rpc

import (
	"context"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// ReloadConfig implements snakepitv1.HostServer.
func (a *api) ReloadConfig(ctx context.Context, _ *snakepitv1.ReloadConfigRequest) (*snakepitv1.ReloadConfigResponse, error) {
	if a.cfg.ReloadConfig == nil {
		return nil, errdefs.New(errdefs.InvalidArguments, "this host has no configuration that could be read again")
	}
	r, err := a.cfg.ReloadConfig(ctx)
	if err != nil {
		return nil, err
	}
	return reloadToWire(r), nil
}

func reloadToWire(r config.Reload) *snakepitv1.ReloadConfigResponse {
	out := &snakepitv1.ReloadConfigResponse{}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, &snakepitv1.ConfigChange{Pool: c.Pool, Knob: c.Knob, Old: c.Old, New: c.New, Effect: string(c.Effect)})
	}
	for _, w := range r.Warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	for _, e := range r.Failures {
		out.Failures = append(out.Failures, errdefs.ToProto(e))
	}
	return out
}
