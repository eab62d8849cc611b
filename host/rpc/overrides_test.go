package rpc_test

import (
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func TestAHostWithoutARegistryHasNoKnobsForAllHosts(t *testing.T) {
	api, _ := serve(t, echo())
	_, err := api.SetPoolOverrides(t.Context(), &snakepitv1.SetPoolOverridesRequest{Pool: "main", Knobs: map[string]string{"pool_size": "2"}})
	if got := errdefs.FromStatus(err); errdefs.ReasonOf(got) != errdefs.Conflict {
		t.Errorf("set: %v", got)
	}
	_, err = api.UnsetPoolOverrides(t.Context(), &snakepitv1.UnsetPoolOverridesRequest{Pool: "main"})
	if got := errdefs.FromStatus(err); errdefs.ReasonOf(got) != errdefs.Conflict {
		t.Errorf("unset: %v", got)
	}
	list, err := api.ListPoolOverrides(t.Context(), &snakepitv1.ListPoolOverridesRequest{})
	if err != nil || len(list.GetOverrides()) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
}
