//go:build integration && linux

package integration_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// pooled starts a host in this process whose one pool serves slots.py.
func pooled(t *testing.T, workers int, set ...string) *embed.Host {
	t.Helper()
	p := newPlace(t)
	sp, err := embed.Start(t.Context(), embed.Config{
		Adapter: p.adapter(t, "slots.py") + ":Slots", Workers: workers, Set: append([]string{"python=" + interpreter(t)}, set...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	return sp
}

// atRest waits until no slot is taken and nobody waits: a cancelled tool goes on for
// a moment after its caller has left.
func atRest(t *testing.T, sp *embed.Host) host.PoolStatus {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		s := sp.Status().Pools[0]
		if s.Busy == 0 && s.Queued == 0 && s.Ready == s.Size {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pool doesn't come to rest: %+v", s)
		}
		pause(t, 5*time.Millisecond)
	}
}

// pause yields to those that are waited for.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

func TestRunsInsideTheWorkersNeverExceedTheirSlots(t *testing.T) {
	const calls, callers, slots = 2000, 12, 2
	sp := pooled(t, 2, "queue_timeout=10ms", "cancel_grace=5s")
	dice := rand.New(rand.NewPCG(5, 2026))
	ends := make([]time.Duration, calls)
	for i := range ends {
		ends[i] = time.Duration(dice.IntN(16_000)) * time.Microsecond
	}
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	reasons := map[errdefs.Reason]int{}
	for range callers {
		group.Go(func() {
			for i := next.Add(1) - 1; i < calls; i = next.Add(1) - 1 {
				reason := cutShort(t, sp, int(i), ends[i])
				mu.Lock()
				reasons[reason]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	s := atRest(t, sp)
	t.Logf("%d calls ended as %v", calls, reasons)
	if len(sp.Workers("")) != 2 || s.Replaced != 0 {
		t.Errorf("workers were replaced: %d", s.Replaced)
	}
	if reasons[""] == 0 || reasons[errdefs.Deadline] == 0 || reasons[errdefs.Cancelled] == 0 {
		t.Errorf("not every end was tried: %v", reasons)
	}
	checkCounts(t, sp, slots)
}

// cutShort makes a call that ends by itself, by its deadline or by a cancel.
func cutShort(t *testing.T, sp snakepit.Caller, i int, end time.Duration) errdefs.Reason {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch i % 3 {
	case 1:
		ctx, cancel = context.WithTimeout(ctx, end+time.Millisecond)
		defer cancel()
	case 2:
		defer time.AfterFunc(end, cancel).Stop()
	}
	_, err := snakepit.Call[int](ctx, sp, "work", map[string]any{"seconds": 0.004})
	if err == nil {
		return ""
	}
	return errdefs.ReasonOf(err)
}

// checkCounts asks every worker what ran in it.
func checkCounts(t *testing.T, sp *embed.Host, slots int) {
	t.Helper()
	seen := map[string]bool{}
	for range 64 {
		call, err := sp.Invoke(t.Context(), host.Request{Tool: "counted", Payload: []byte{0x80}})
		if err != nil {
			t.Fatal(err)
		}
		worker := string(call.Worker())
		var counted struct {
			Most, Runs, Running int
		}
		last, err := call.Recv(t.Context())
		if err == nil {
			err = values.Decode(last.Payload, &counted)
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[worker] {
			continue
		}
		seen[worker] = true
		t.Logf("worker %s: %+v", worker, counted)
		if counted.Most > slots || counted.Running != 0 {
			t.Errorf("worker %s ran %d calls at once, of %d slots; %d are running", worker, counted.Most, slots, counted.Running)
		}
	}
	if len(seen) != len(sp.Workers("")) {
		t.Errorf("%d of %d workers answered", len(seen), len(sp.Workers("")))
	}
}
