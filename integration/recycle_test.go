//go:build integration && linux

package integration_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
)

// underLoad calls from eight goroutines until stop, which returns how many calls
// there were, how many failed, and the fewest workers that were ready meanwhile.
func underLoad(t *testing.T, sp *embed.Host) (stop func() (calls, failed int64, fewest int)) {
	t.Helper()
	var calls, failed atomic.Int64
	var ending atomic.Bool
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for !ending.Load() {
				calls.Add(1)
				if err := sp.Call(t.Context(), "work", map[string]any{"seconds": 0.004}, nil); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			}
		})
	}
	fewest := sp.Status().Pools[0].Size
	group.Go(func() {
		for !ending.Load() {
			fewest = min(fewest, sp.Status().Pools[0].Ready)
			pause(t, time.Millisecond)
		}
	})
	return func() (int64, int64, int) {
		ending.Store(true)
		group.Wait()
		return calls.Load(), failed.Load(), fewest
	}
}

func TestRecyclingUnderLoadFailsNoCallAndLeavesNoGap(t *testing.T) {
	sp := pooled(t, "Slots", 2, "max_calls=10", "queue_timeout=30s")
	stop := underLoad(t, sp)
	recycled := func() (n uint64) {
		for _, by := range sp.Status().Pools[0].Recycled {
			n += by
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); recycled() < 12 && time.Now().Before(deadline); {
		pause(t, 10*time.Millisecond)
	}
	calls, failed, fewest := stop()
	t.Logf("%d calls, %d failed; %d workers were recycled, and at least %d were ready", calls, failed, recycled(), fewest)
	if failed > 0 || fewest < 2 || recycled() < 12 {
		t.Errorf("want no failed call, 12 recycled workers, and 2 that are ready")
	}
	atRest(t, sp)
}

func TestReloadsUnderLoadFailNoCallAndLeaveNoGap(t *testing.T) {
	sp := pooled(t, "Slots", 3, "queue_timeout=30s")
	stop := underLoad(t, sp)
	old := map[host.WorkerID]bool{}
	for range 3 {
		for _, w := range sp.Workers("") {
			old[w.ID] = true
		}
		if err := sp.Reload(t.Context(), "", nil); err != nil {
			t.Fatal(err)
		}
		for _, w := range sp.Workers("") {
			if old[w.ID] {
				t.Errorf("worker %s is there after the reload", w.ID)
			}
		}
	}
	calls, failed, fewest := stop()
	t.Logf("%d calls, %d failed; 3 reloads, and at least %d workers of 3 were ready", calls, failed, fewest)
	if failed > 0 || fewest < 3 {
		t.Errorf("want no failed call, and 3 workers that are ready")
	}
	atRest(t, sp)
}
