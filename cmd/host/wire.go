package main

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func statusFromWire(st *snakepitv1.StatusResponse) hostStatus {
	out := hostStatus{
		Node: st.GetNode(), PID: int(st.GetPid()), Version: st.GetVersion(), State: st.GetState(),
		StartedAt: date(st.GetStartedAt()), DataDir: st.GetDataDir(), SessionCount: int(st.GetSessionCount()), Refused: byName(st.GetRefused()),
	}
	for _, p := range st.GetPools() {
		out.Pools = append(out.Pools, poolStatusFromWire(p))
	}
	return out
}

func poolStatusFromWire(p *snakepitv1.PoolStatus) poolStatus {
	out := poolOf(poolFromWire(p))
	out.Overrides = p.GetOverrides()
	return out
}

func poolFromWire(p *snakepitv1.PoolStatus) host.PoolStatus {
	b := p.GetBreaker()
	out := host.PoolStatus{
		Name: p.GetName(), Adapter: p.GetAdapter(), Size: int(p.GetSize()), MinSize: int(p.GetMinSize()), MaxSize: int(p.GetMaxSize()),
		Ready: int(p.GetReady()), Starting: int(p.GetStarting()), Draining: int(p.GetDraining()),
		Busy: int(p.GetBusy()), Slots: int(p.GetSlots()), Queued: int(p.GetQueued()),
		Received: p.GetReceived(), Open: p.GetOpen(), Calls: p.GetCalls(), OK: p.GetOk(), Errors: byKey[errdefs.Reason](p.GetErrors()),
		Rejected: p.GetRejected(), Retried: p.GetRetried(), QueueTime: histogramFromWire(p.GetQueueTime()), RunTime: histogramFromWire(p.GetRunTime()),
		BytesIn: p.GetBytesIn(), BytesOut: p.GetBytesOut(), Replaced: p.GetReplaced(), Recycled: byKey[host.RecycleCause](p.GetRecycled()),
		Breaker:        host.BreakerStatus{State: host.BreakerState(b.GetState()), Failures: int(b.GetFailures()), RetryAt: date(b.GetRetryAt())},
		LastStartError: p.GetLastStartError(),
	}
	for _, e := range p.GetEvents() {
		out.Events = append(out.Events, host.Event{
			Kind: host.EventKind(e.GetKind()), At: date(e.GetAt()), Pool: p.GetName(), Worker: host.WorkerID(e.GetWorker()),
			Reason: errdefs.Reason(e.GetReason()), Detail: e.GetDetail(),
		})
	}
	return out
}

func histogramFromWire(h *snakepitv1.Histogram) host.Histogram {
	out := host.Histogram{Sum: micros(h.GetSumUs()), Max: micros(h.GetMaxUs())}
	for _, b := range h.GetBuckets() {
		out.Buckets = append(out.Buckets, host.Bucket{From: micros(b.GetFromUs()), Below: micros(b.GetBelowUs()), Count: b.GetCount()})
	}
	return out
}

func workerFromWire(w *snakepitv1.WorkerStatus) host.WorkerStatus {
	return host.WorkerStatus{
		ID: host.WorkerID(w.GetId()), Pool: w.GetPool(), Node: w.GetNode(), Process: host.Process{PID: int(w.GetPid())},
		State: host.WorkerState(w.GetState()), Slots: int(w.GetSlots()), Busy: int(w.GetBusy()), Calls: w.GetCalls(),
		Errors: w.GetErrors(), LastError: errdefs.Reason(w.GetLastError()), RunTime: micros(w.GetRunTimeUs()),
		Sessions: int(w.GetSessionCount()), RSS: w.GetRssBytes(), Devices: w.GetDevices(), StartedAt: date(w.GetStartedAt()),
	}
}

func sessionFromWire(s *snakepitv1.SessionStatus) host.SessionStatus {
	return host.SessionStatus{
		Session: host.Session{
			ID: host.SessionID(s.GetId()), Pool: s.GetPool(), Home: host.WorkerID(s.GetWorker()), Epoch: s.GetEpoch(), OpenedAt: date(s.GetOpenedAt()),
		},
		Node: s.GetNode(), ExpiresAt: date(s.GetExpiresAt()), Away: s.GetAway(),
	}
}

func byKey[K ~string](counts map[string]uint64) map[K]uint64 {
	out := make(map[K]uint64, len(counts))
	for name, n := range counts {
		out[K(name)] = n
	}
	return out
}

func micros(n uint64) time.Duration {
	const most = 1 << 53                                  // µs, 285 years: more is nonsense
	return time.Duration(min(n, most)) * time.Microsecond //nolint:gosec // bounded
}

// date is a moment; zero where there is none.
func date(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
