package rpc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func TestToolSurvivesTheRoundTrip(t *testing.T) {
	want := host.Tool{
		Name: "n", Description: "d", InputSchema: "i", OutputSchema: "o", Stream: true, InputStream: "s", Idempotent: true, Cancel: "kill",
	}
	if diff := cmp.Diff(want, toolOf(protoTool(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRequestHasAllThatTheInvocationSays(t *testing.T) {
	codec, err := codecFor("application/json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := requestOf(t.Context(), &snakepitv1.Invocation{
		Tool: "t", Pool: "p", Session: "s", MustExist: true, Idempotent: true, Metadata: map[string]string{"a": "b"},
		Caller: "c", Priority: -1, Affinity: "strict_queue", Concurrent: true,
	}, []byte("{}"), codec)
	want := host.Request{
		Tool: "t", Payload: []byte{0x80}, Pool: "p", Session: "s", MustExist: true, Idempotent: true, Metadata: map[string]string{"a": "b"},
		Caller: "c", Priority: host.PriorityLow, Affinity: host.AffinityStrictQueue, Concurrent: true,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestWorkerStatusKeepsEveryField(t *testing.T) {
	started := time.Unix(1, 2)
	got := workerOf(host.WorkerStatus{
		ID: "w", Pool: "p", Node: "n", Process: host.Process{PID: 7}, State: "ready", Slots: 2, Busy: 1, Calls: 9, Sessions: 3, RSS: 4, StartedAt: started,
	})
	if got.GetId() != "w" || got.GetPool() != "p" || got.GetNode() != "n" || got.GetPid() != 7 || got.GetState() != "ready" || got.GetSlots() != 2 ||
		got.GetBusy() != 1 || got.GetCalls() != 9 || got.GetSessionCount() != 3 || got.GetRssBytes() != 4 || !got.GetStartedAt().AsTime().Equal(started) {
		t.Errorf("%v", got)
	}
	if count(-1) != 0 || count(1<<40) != 1<<32-1 || stamp(time.Time{}) != nil {
		t.Error("counts and stamps aren't bounded")
	}
}
