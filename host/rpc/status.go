package rpc

import (
	"context"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Ping implements snakepitv1.HostServer.
func (a *api) Ping(context.Context, *snakepitv1.HostPingRequest) (*snakepitv1.HostPingResponse, error) {
	return &snakepitv1.HostPingResponse{}, nil
}

// Status implements snakepitv1.HostServer.
func (a *api) Status(context.Context, *snakepitv1.StatusRequest) (*snakepitv1.StatusResponse, error) {
	st := a.engine.Status()
	resp := &snakepitv1.StatusResponse{
		Node: st.Node, Pid: int32(os.Getpid()), Version: a.cfg.Version, State: string(st.State), //nolint:gosec // a pid is an int32
		StartedAt: stamp(st.StartedAt), SessionCount: count(st.Sessions), DataDir: a.cfg.DataDir, Refused: counts(st.Refused),
	}
	over := held(a.overrides())
	for _, p := range st.Pools {
		resp.Pools = append(resp.Pools, poolOf(p, over[p.Name]))
	}
	return resp, nil
}

func poolOf(p host.PoolStatus, overrides map[string]string) *snakepitv1.PoolStatus {
	w := &snakepitv1.PoolStatus{
		Name: p.Name, Adapter: p.Adapter, Size: count(p.Size), MinSize: count(p.MinSize), MaxSize: count(p.MaxSize),
		Ready: count(p.Ready), Starting: count(p.Starting), Draining: count(p.Draining),
		Busy: count(p.Busy), Slots: count(p.Slots), Queued: count(p.Queued),
		Received: p.Received, Open: p.Open, Calls: p.Calls, Ok: p.OK, Errors: counts(p.Errors), Rejected: p.Rejected, Retried: p.Retried,
		QueueTime: histogramOf(p.QueueTime), RunTime: histogramOf(p.RunTime), BytesIn: p.BytesIn, BytesOut: p.BytesOut,
		Replaced: p.Replaced, Recycled: counts(p.Recycled), LastStartError: p.LastStartError, Overrides: overrides,
		Breaker: &snakepitv1.Breaker{State: string(p.Breaker.State), Failures: count(p.Breaker.Failures), RetryAt: stamp(p.Breaker.RetryAt)},
	}
	for _, e := range p.Events {
		w.Events = append(w.Events, &snakepitv1.Event{
			Kind: string(e.Kind), At: stamp(e.At), Worker: string(e.Worker), Reason: string(e.Reason), Detail: e.Detail,
		})
	}
	return w
}

func histogramOf(h host.Histogram) *snakepitv1.Histogram {
	w := &snakepitv1.Histogram{
		Count: h.Count(), SumUs: micros(h.Sum), MaxUs: micros(h.Max),
		P50Us: micros(h.Quantile(0.5)), P90Us: micros(h.Quantile(0.9)), P99Us: micros(h.Quantile(0.99)),
	}
	for _, b := range h.Buckets {
		w.Buckets = append(w.Buckets, &snakepitv1.HistogramBucket{FromUs: micros(b.From), BelowUs: micros(b.Below), Count: b.Count})
	}
	return w
}

// ListWorkers implements snakepitv1.HostServer.
func (a *api) ListWorkers(_ context.Context, req *snakepitv1.ListWorkersRequest) (*snakepitv1.ListWorkersResponse, error) {
	resp := &snakepitv1.ListWorkersResponse{}
	for _, w := range a.engine.Workers(req.GetPool()) {
		resp.Workers = append(resp.Workers, workerOf(w))
	}
	return resp, nil
}

func workerOf(w host.WorkerStatus) *snakepitv1.WorkerStatus {
	return &snakepitv1.WorkerStatus{
		Id: string(w.ID), Pool: w.Pool, Node: w.Node, State: string(w.State), Calls: w.Calls, RssBytes: w.RSS,
		Pid: int32(w.Process.PID), Slots: count(w.Slots), Busy: count(w.Busy), SessionCount: count(w.Sessions), //nolint:gosec // a pid is an int32
		StartedAt: stamp(w.StartedAt), Errors: w.Errors, LastError: string(w.LastError), RunTimeUs: micros(w.RunTime), Devices: w.Devices,
	}
}

// ListSessions implements snakepitv1.HostServer.
func (a *api) ListSessions(ctx context.Context, req *snakepitv1.ListSessionsRequest) (*snakepitv1.ListSessionsResponse, error) {
	list, err := a.engine.SessionStatuses(ctx, req.GetPool())
	if err != nil {
		return nil, err
	}
	resp := &snakepitv1.ListSessionsResponse{}
	for _, s := range list {
		resp.Sessions = append(resp.Sessions, &snakepitv1.SessionStatus{
			Id: string(s.ID), Pool: s.Pool, Node: s.Node, Worker: string(s.Home), Epoch: s.Epoch,
			ExpiresAt: stamp(s.ExpiresAt), OpenedAt: stamp(s.OpenedAt), Away: s.Away,
		})
	}
	return resp, nil
}

func counts[K ~string](m map[K]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, n := range m {
		out[string(k)] = n
	}
	return out
}

func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) } //nolint:gosec // bounded

func micros(d time.Duration) uint64 { return uint64(max(d, 0) / time.Microsecond) }

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
