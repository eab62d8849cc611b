package cluster

import (
	"context"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestErrorsOfFurtherServicesKeepTheirReasons(t *testing.T) {
	t.Parallel()
	moved := errdefs.New(errdefs.SessionMoved, "it isn't this node's")
	for name, err := range map[string]error{"its own": moved, "a status": errdefs.ToStatus(moved)} {
		_, got := withReasons(t.Context(), nil, nil, func(context.Context, any) (any, error) { return nil, err })
		if e := errdefs.FromStatus(got); errdefs.ReasonOf(e) != errdefs.SessionMoved {
			t.Errorf("%s: %v", name, e)
		}
	}
}
