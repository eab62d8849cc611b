package errdefs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func TestReasonsAreThoseOfTheGoldenFile(t *testing.T) {
	text, err := os.ReadFile("testdata/reasons.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[errdefs.Reason]bool{}
	for line := range strings.Lines(string(text)) {
		parts := strings.Fields(line)
		if len(parts) == 0 || strings.HasPrefix(parts[0], "#") {
			continue
		}
		r := errdefs.Reason(parts[0])
		listed[r] = true
		p := errdefs.ToProto(errdefs.New(r, "x"))
		code := status.Code(errdefs.ToStatus(errdefs.New(r, "x")))
		var want codes.Code
		if err := want.UnmarshalJSON([]byte(`"` + parts[2] + `"`)); err != nil {
			t.Fatal(err)
		}
		if p.GetClass() != parts[1] || code != want {
			t.Errorf("%s: class %s, code %s; want %v", r, p.GetClass(), code, parts[1:])
		}
	}
	for _, r := range errdefs.Reasons() {
		if !listed[r] {
			t.Errorf("%s isn't in the golden file", r)
		}
	}
	if len(listed) != len(errdefs.Reasons()) {
		t.Errorf("%d reasons, %d in the golden file", len(errdefs.Reasons()), len(listed))
	}
}

func TestErrorSurvivesTheRoundTrip(t *testing.T) {
	want := &errdefs.Error{
		Reason: errdefs.WorkerCrashed, Message: "m", MayHaveRun: true, Path: "$.a", Hint: "h", RetryAfter: 3 * time.Second,
		Where:     errdefs.Where{Node: "n", Pool: "p", Worker: "w", Session: "s", Tool: "t", Call: "c"},
		Exception: &errdefs.Exception{Type: "T", Bases: []string{"B"}, Message: "m", Traceback: "tb", Notes: []string{"n"}},
		Exit:      &errdefs.Exit{Code: -1, Signal: "SIGSEGV", Stderr: []string{"last words"}},
	}
	got := errdefs.FromStatus(errdefs.ToStatus(fmt.Errorf("wrapped: %w", want)))
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(errdefs.Error{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if status.Code(errdefs.ToStatus(want)) != codes.Aborted {
		t.Error("what may have run must not be retried by proxies")
	}
}

func TestUnknownReasonKeepsItsNameAndClass(t *testing.T) {
	err := error(errdefs.FromProto(&snakepitv1.Error{Reason: "from_the_future", Class: "exhausted"}))
	if errdefs.ReasonOf(err) != "from_the_future" || !errors.Is(err, errdefs.ErrExhausted) {
		t.Errorf("%v", err)
	}
	if got := errdefs.ToProto(err); got.GetReason() != "from_the_future" || got.GetClass() != "exhausted" {
		t.Errorf("%v", got)
	}
}

func TestForeignErrorsHaveAReason(t *testing.T) {
	for want, err := range map[errdefs.Reason]error{
		errdefs.Deadline:        fmt.Errorf("x: %w", context.DeadlineExceeded),
		errdefs.Cancelled:       context.Canceled,
		errdefs.Internal:        errors.New("a secret"),
		errdefs.HostUnreachable: errdefs.FromStatus(status.Error(codes.Unavailable, "gone")),
		errdefs.PayloadTooLarge: errdefs.FromStatus(status.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 4)")),
		errdefs.QueueTimeout:    errdefs.FromStatus(status.Error(codes.ResourceExhausted, "busy")),
	} {
		if got := errdefs.Of(err); got.Reason != want || strings.Contains(got.Error(), "secret") {
			t.Errorf("%v: %v", err, got)
		}
	}
}
