package main

import (
	"context"
	"iter"
	"slices"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
)

// ownHost is a host that runs in this process.
type ownHost struct {
	*embed.Host

	dataDir string // empty: private
}

var _ localHost = ownHost{}

func launchHost(ctx context.Context, l launch) (localHost, error) {
	set := l.Set
	if l.Private {
		set = append(slices.Clone(set), "data_dir=", "instance=")
	}
	h, err := embed.Start(ctx, embed.Config{
		File: l.File, Environ: l.Environ, Adapter: l.Adapter, Workers: l.Workers, DataDir: l.DataDir, Set: set,
		Logger: l.Logger, Version: l.Version, Serve: l.Serve, Successor: l.Successor, Inherit: l.Inherit, Watch: l.Watch,
	})
	if err != nil {
		return nil, err
	}
	return ownHost{h, l.DataDir}, nil
}

// Membership implements localHost.
func (h ownHost) Membership() (id, address string) {
	if n := h.Cluster(); n != nil {
		return n.ID(), h.ClusterAddress()
	}
	return "", ""
}

// Call implements engine.
func (h ownHost) Call(ctx context.Context, inv invocation) ([]byte, error) {
	payload, err := snakepit.EncodeArgs(inv.Args)
	if err != nil {
		return nil, err
	}
	if inv.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, inv.Timeout)
		defer cancel()
	}
	c, err := h.Invoke(ctx, host.Request{
		Tool: inv.Tool, Payload: payload, Pool: inv.Pool, Session: host.SessionID(inv.Session), Availability: host.Availability(inv.Availability),
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for {
		m, err := c.Recv(ctx)
		if err != nil || m.Last {
			return m.Payload, err
		}
		if p := m.Progress; p != nil && inv.OnProgress != nil {
			inv.OnProgress(snakepit.Progress{Done: p.Done, Total: p.Total, Message: p.Message})
		}
	}
}

// Stream implements engine.
func (h ownHost) Stream(ctx context.Context, inv invocation) iter.Seq2[[]byte, error] {
	return rawChunks(h.Host.Stream(ctx, inv.Tool, inv.Args, inv.options()...))
}

// Status implements engine.
func (h ownHost) Status(context.Context) (hostStatus, error) {
	st, rec := h.Host.Status(), h.Record()
	out := hostStatus{
		Node: st.Node, PID: rec.PID, Version: rec.Version, State: string(st.State),
		StartedAt: st.StartedAt, DataDir: h.dataDir, SessionCount: st.Sessions, Refused: byName(st.Refused),
	}
	for _, p := range st.Pools {
		out.Pools = append(out.Pools, poolOf(p))
	}
	return out, nil
}

// Workers implements engine.
func (h ownHost) Workers(context.Context) ([]workerStatus, error) {
	var out []workerStatus
	for _, w := range h.Host.Workers("") {
		out = append(out, workerOf(w))
	}
	return out, nil
}

// Reload implements engine.
func (h ownHost) Reload(ctx context.Context, pool string, step func(reloadStep)) error {
	return h.Host.Reload(ctx, pool, func(r host.ReloadProgress) {
		step(reloadStep{Pool: r.Pool, Total: r.Total, Replaced: r.Replaced, Worker: string(r.Worker)})
	})
}

// DrainWorker implements engine.
func (h ownHost) DrainWorker(ctx context.Context, id string) error {
	return h.Host.DrainWorker(ctx, host.WorkerID(id))
}

// KillWorker implements engine.
func (h ownHost) KillWorker(ctx context.Context, id string) error {
	return h.Host.KillWorker(ctx, host.WorkerID(id))
}

// Sessions implements engine.
func (h ownHost) Sessions(ctx context.Context, pool string) ([]sessionStatus, error) {
	list, err := h.Host.Sessions(ctx, pool)
	var out []sessionStatus
	for _, s := range list {
		out = append(out, sessionOf(s))
	}
	return out, err
}
