package rpc

import (
	"context"
	"slices"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// PoolOverrides are the knobs of pools that are set for all hosts of a cluster.
type PoolOverrides interface {
	// SetPoolOverrides sets some, and gives all that are set for the pool, as this host
	// takes them. It returns when they're durable.
	SetPoolOverrides(ctx context.Context, pool string, knobs map[string]string) ([]config.Override, error)
	// UnsetPoolOverrides takes some back, or all where none is named, and gives those
	// that were set.
	UnsetPoolOverrides(ctx context.Context, pool string, knobs ...string) ([]string, error)
	// PoolOverrides lists them, by pool and knob, as this host takes them. It asks nobody.
	PoolOverrides() []config.Override
}

// SetPoolOverrides implements snakepitv1.HostServer.
func (a *api) SetPoolOverrides(ctx context.Context, r *snakepitv1.SetPoolOverridesRequest) (*snakepitv1.SetPoolOverridesResponse, error) {
	if a.cfg.Overrides == nil {
		return nil, noOverrides()
	}
	set, err := a.cfg.Overrides.SetPoolOverrides(ctx, r.GetPool(), r.GetKnobs())
	if err != nil {
		return nil, err
	}
	out := &snakepitv1.SetPoolOverridesResponse{Knobs: map[string]string{}}
	for _, o := range set {
		out.Knobs[o.Knob] = o.Value
		if o.Holds && o.Note != "" {
			out.Warnings = append(out.Warnings, o.Knob+": "+o.Note)
		}
	}
	return out, nil
}

// UnsetPoolOverrides implements snakepitv1.HostServer.
func (a *api) UnsetPoolOverrides(ctx context.Context, r *snakepitv1.UnsetPoolOverridesRequest) (*snakepitv1.UnsetPoolOverridesResponse, error) {
	if a.cfg.Overrides == nil {
		return nil, noOverrides()
	}
	knobs, err := a.cfg.Overrides.UnsetPoolOverrides(ctx, r.GetPool(), r.GetKnobs()...)
	if err != nil {
		return nil, err
	}
	slices.Sort(knobs)
	return &snakepitv1.UnsetPoolOverridesResponse{Knobs: knobs}, nil
}

// ListPoolOverrides implements snakepitv1.HostServer.
func (a *api) ListPoolOverrides(context.Context, *snakepitv1.ListPoolOverridesRequest) (*snakepitv1.ListPoolOverridesResponse, error) {
	out := &snakepitv1.ListPoolOverridesResponse{}
	for _, o := range a.overrides() {
		out.Overrides = append(out.Overrides, &snakepitv1.PoolOverride{
			Pool: o.Pool, Knob: o.Knob, Value: o.Value, Own: o.Own, OwnFrom: originOf(o), Holds: o.Holds, Note: o.Note,
		})
	}
	return out, nil
}

// originOf is where a host's own value is from; empty where it has none.
func originOf(o config.Override) string {
	if o.Own == "" {
		return ""
	}
	return o.From.String()
}

func (a *api) overrides() []config.Override {
	if a.cfg.Overrides == nil {
		return nil
	}
	return a.cfg.Overrides.PoolOverrides()
}

// held are the overrides that hold here, by pool.
func held(all []config.Override) map[string]map[string]string {
	by := map[string]map[string]string{}
	for _, o := range all {
		if !o.Holds {
			continue
		}
		if by[o.Pool] == nil {
			by[o.Pool] = map[string]string{}
		}
		by[o.Pool][o.Knob] = o.Value
	}
	return by
}

func noOverrides() error {
	return errdefs.New(errdefs.Conflict, "this host has no registry in which knobs could be set for all hosts")
}
