package rpc

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func times() host.Histogram {
	return host.Histogram{
		Buckets: []host.Bucket{{From: time.Millisecond, Below: 2 * time.Millisecond, Count: 3}, {From: time.Second, Below: 2 * time.Second, Count: 1}},
		Sum:     1100 * time.Millisecond, Max: 1050 * time.Millisecond,
	}
}

func fullPool(at time.Time) host.PoolStatus {
	return host.PoolStatus{
		Name: "p", Adapter: "a", Size: 4, MinSize: 2, MaxSize: 9, Ready: 3, Starting: 1, Draining: 5, Busy: 6, Slots: 12, Queued: 7,
		Received: 20, Open: 8, Calls: 15, OK: 11, Errors: map[errdefs.Reason]uint64{errdefs.QueueFull: 1}, Rejected: 1, Retried: 2,
		QueueTime: times(), RunTime: times(), BytesIn: 100, BytesOut: 200, Replaced: 3,
		Recycled: map[host.RecycleCause]uint64{host.RecycleAge: 2},
		Breaker:  host.BreakerStatus{State: host.BreakerOpen, Failures: 5, RetryAt: at}, LastStartError: "no torch",
		Events: []host.Event{{Kind: host.EventWorkerDied, At: at, Pool: "p", Worker: "w", Reason: errdefs.WorkerCrashed, Detail: "SIGSEGV"}},
	}
}

func TestPoolStatusKeepsEveryField(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 2)
	w := poolOf(fullPool(at), map[string]string{"pool_size": "4"})
	everyFieldIsSet(t, w.ProtoReflect())
	if w.GetSize() != 4 || w.GetMinSize() != 2 || w.GetMaxSize() != 9 || w.GetReady() != 3 || w.GetStarting() != 1 || w.GetDraining() != 5 ||
		w.GetBusy() != 6 || w.GetSlots() != 12 || w.GetQueued() != 7 {
		t.Errorf("workers and slots: %v", w)
	}
	if w.GetReceived() != 20 || w.GetOpen() != 8 || w.GetCalls() != 15 || w.GetOk() != 11 || w.GetErrors()["queue_full"] != 1 || w.GetRejected() != 1 ||
		w.GetRetried() != 2 || w.GetBytesIn() != 100 || w.GetBytesOut() != 200 || w.GetReplaced() != 3 || w.GetRecycled()["age"] != 2 || w.GetOverrides()["pool_size"] != "4" {
		t.Errorf("counts: %v", w)
	}
	if b := w.GetBreaker(); b.GetState() != "open" || b.GetFailures() != 5 || !b.GetRetryAt().AsTime().Equal(at) {
		t.Errorf("breaker: %v", b)
	}
	if e := w.GetEvents()[0]; e.GetKind() != "worker_died" || e.GetWorker() != "w" || e.GetReason() != "worker_crashed" || e.GetDetail() != "SIGSEGV" {
		t.Errorf("event: %v", e)
	}
}

func TestHistogramTravelsInMicroseconds(t *testing.T) {
	t.Parallel()
	w := histogramOf(times())
	if w.GetCount() != 4 || w.GetSumUs() != 1_100_000 || w.GetMaxUs() != 1_050_000 || w.GetP99Us() > w.GetMaxUs() || w.GetP90Us() < 1_000_000 {
		t.Errorf("%v", w)
	}
	if p50 := w.GetP50Us(); p50 < 1000 || p50 >= 2000 {
		t.Errorf("p50 is %d µs", p50)
	}
	if b := w.GetBuckets(); len(b) != 2 || b[1].GetFromUs() != 1_000_000 || b[1].GetBelowUs() != 2_000_000 || b[1].GetCount() != 1 {
		t.Errorf("%v", w)
	}
}

func TestWorkerStatusKeepsEveryField(t *testing.T) {
	t.Parallel()
	started := time.Unix(1, 2)
	got := workerOf(host.WorkerStatus{
		ID: "w", Pool: "p", Node: "n", Process: host.Process{PID: 7}, State: "ready", Slots: 2, Busy: 1, Calls: 9, Sessions: 3, RSS: 4, StartedAt: started,
		Errors: 5, LastError: errdefs.Deadline, RunTime: 6 * time.Microsecond, Devices: []string{"0"},
	})
	everyFieldIsSet(t, got.ProtoReflect())
	if got.GetId() != "w" || got.GetPool() != "p" || got.GetNode() != "n" || got.GetPid() != 7 || got.GetState() != "ready" || got.GetSlots() != 2 ||
		got.GetBusy() != 1 || got.GetCalls() != 9 || got.GetSessionCount() != 3 || got.GetRssBytes() != 4 || !got.GetStartedAt().AsTime().Equal(started) {
		t.Errorf("%v", got)
	}
	if got.GetErrors() != 5 || got.GetLastError() != "deadline" || got.GetRunTimeUs() != 6 {
		t.Errorf("%v", got)
	}
	if count(-1) != 0 || count(1<<40) != 1<<32-1 || stamp(time.Time{}) != nil || micros(-1) != 0 {
		t.Error("counts and stamps aren't bounded")
	}
}

// everyFieldIsSet finds what a conversion forgot.
func everyFieldIsSet(t *testing.T, m protoreflect.Message) {
	t.Helper()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); !m.Has(f) {
			t.Errorf("%s isn't set in %s", f.FullName(), proto.MessageName(m.Interface()))
		}
	}
}
