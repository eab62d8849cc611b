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
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// pooled starts a host in this process whose one pool serves a class of slots.py.
func pooled(t *testing.T, class string, workers int, set ...string) *embed.Host {
	t.Helper()
	p := newPlace(t)
	sp, err := embed.Start(t.Context(), embed.Config{
		Adapter: p.adapter(t, "slots.py") + ":" + class, Workers: workers, Set: append([]string{"python=" + program.Python(t)}, set...),
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
	sp := pooled(t, "Slots", 2, "queue_timeout=10ms", "cancel_grace=5s")
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

// counts is what a worker has counted of its own calls.
type counts struct {
	Most, Runs, Running int
}

// countsOf asks every worker, by as many calls at once as there are slots.
func countsOf(t *testing.T, sp *embed.Host, slots int) map[host.WorkerID]counts {
	t.Helper()
	var mu sync.Mutex
	seen := map[host.WorkerID]counts{}
	var group sync.WaitGroup
	for range slots * len(sp.Workers("")) {
		group.Go(func() {
			worker, c, err := countsAt(t.Context(), sp)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[worker] = c
		})
	}
	group.Wait()
	return seen
}

func countsAt(ctx context.Context, sp *embed.Host) (host.WorkerID, counts, error) {
	var c counts
	args, err := values.Encode(map[string]any{"seconds": 0.3})
	if err != nil {
		return "", c, err
	}
	call, err := sp.Invoke(ctx, host.Request{Tool: "counted", Payload: args})
	if err != nil {
		return "", c, err
	}
	last, err := call.Recv(ctx)
	if err != nil {
		return "", c, err
	}
	return call.Worker(), c, values.Decode(last.Payload, &c)
}

// checkCounts compares what ran in the workers with the slots that they have.
func checkCounts(t *testing.T, sp *embed.Host, slots int) {
	t.Helper()
	all := countsOf(t, sp, slots)
	if len(all) != len(sp.Workers("")) {
		t.Errorf("%d of %d workers answered", len(all), len(sp.Workers("")))
	}
	for worker, c := range all {
		t.Logf("worker %s: %+v", worker, c)
		if c.Most > slots || c.Running != 0 {
			t.Errorf("worker %s ran %d calls at once, of %d slots; %d are running", worker, c.Most, slots, c.Running)
		}
	}
}
