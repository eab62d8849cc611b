package client_test

import (
	"errors"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func TestWorkersAreReplacedOverTheNetwork(t *testing.T) {
	c := start(t).dial(t)
	before, err := c.Workers(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var last *snakepitv1.ReloadResponse
	n := 0
	if err := c.Reload(t.Context(), "main", func(r *snakepitv1.ReloadResponse) { last = r; n++ }); err != nil {
		t.Fatal(err)
	}
	if n != 3 || last.GetReplaced() != 2 || last.GetTotal() != 2 || last.GetPool() != "main" || last.GetWorker() == "" {
		t.Errorf("%d steps, the last %v", n, last)
	}
	after, err := c.Workers(t.Context(), "")
	if err != nil || len(after) != 2 || after[0].GetId() == before[0].GetId() {
		t.Fatalf("workers %v, %v", after, err)
	}
	if err := c.DrainWorker(t.Context(), after[0].GetId()); err != nil {
		t.Error(err)
	}
	if err := c.KillWorker(t.Context(), after[1].GetId()); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"drain": c.DrainWorker(t.Context(), before[0].GetId()),
		"kill":  c.KillWorker(t.Context(), before[0].GetId()),
	} {
		var e *errdefs.Error
		if !errors.As(err, &e) || e.Reason != errdefs.WorkerNotFound {
			t.Errorf("%s of a worker that's gone: %v", what, err)
		}
	}
	if err := c.Reload(t.Context(), "none", nil); errdefs.ReasonOf(err) != errdefs.PoolNotFound {
		t.Errorf("reload of an unknown pool: %v", err)
	}
}
