package rpc

import (
	"testing"

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
		Caller: "c", Priority: -1, Affinity: "strict_queue", Concurrent: true, Availability: "local",
	}, []byte("{}"), codec)
	want := host.Request{
		Tool: "t", Payload: []byte{0x80}, Pool: "p", Session: "s", MustExist: true, Idempotent: true, Metadata: map[string]string{"a": "b"},
		Caller: "c", Priority: host.PriorityLow, Affinity: host.AffinityStrictQueue, Concurrent: true, Availability: host.AvailabilityLocal,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
