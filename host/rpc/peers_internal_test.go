package rpc

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestDeadlineThatTheOtherNodeSawFirstIsADeadline: gRPC gives it by the clock, before the
// timer of the call's context has fired.
func TestDeadlineThatTheOtherNodeSawFirstIsADeadline(t *testing.T) {
	t.Parallel()
	over := status.Error(codes.DeadlineExceeded, "stream terminated by RST_STREAM with error code: CANCEL")
	err := peerError(t.Context(), "n2", over, true)
	if errdefs.ReasonOf(err) != errdefs.Deadline || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
}
