package host_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func prefetching(size, n int) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size, c.Pools[0].Prefetch = size, n }
}

func TestPrefetchedCallsWaitInTheirWorker(t *testing.T) {
	inBubble(t, prefetching(2, 1), func(r *rig) {
		var calls []<-chan error
		for range 7 {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "work"}))
		}
		if s := r.settled(); s.Busy != 2 || s.Slots != 2 || s.Queued != 5 || s.Calls != 4 {
			r.Errorf("busy %d of %d, queued %d, %d given to workers; want 2 of 2, 5 and 4", s.Busy, s.Slots, s.Queued, s.Calls)
		}
		r.all(calls)
		for _, w := range r.launcher.Workers() {
			if w.Most() != 2 {
				r.Errorf("a worker had %d calls at once, want its slot and one more", w.Most())
			}
		}
	})
}

func TestFreeSlotGoesBeforeAPlaceBehindARunningCall(t *testing.T) {
	inBubble(t, prefetching(3, 2), func(r *rig) {
		var calls []<-chan error
		for range 3 {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "work"}))
		}
		for _, w := range r.launcher.Workers() {
			if w.Most() != 1 {
				r.Errorf("a worker has %d calls while others have none", w.Most())
			}
		}
		r.all(calls)
	})
}

func TestNestedCallNeverWaitsInAWorker(t *testing.T) {
	inBubble(t, prefetching(2, 1), func(r *rig) {
		r.offer("nest", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(100 * time.Millisecond)
			return r.do(ctx, host.Request{Tool: "echo"})
		})
		work := r.start(r.Context(), host.Request{Tool: "work"})
		took := timed(func() {
			r.all([]<-chan error{r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("nest")}), work})
		})
		if took != time.Second {
			r.Errorf("took %s: the nested call waits for the slot that comes after a second", took)
		}
	})
}

func TestFailFastCallNeverWaitsInItsHome(t *testing.T) {
	inBubble(t, prefetching(2, 1), func(r *rig) {
		home := r.opened(host.Request{Session: "s", Affinity: host.AffinityStrictFailFast})
		r.occupyAlone(home)
		r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.WorkerBusy)
	})
}

// TestCancelOfACallThatWaitsInItsWorkerKillsNobody cancels one behind a call that
// runs for far longer than the grace, and one that gets its slot later and doesn't obey.
func TestCancelOfACallThatWaitsInItsWorkerKillsNobody(t *testing.T) {
	inBubble(t, prefetching(1, 2), func(r *rig) {
		running := r.start(r.Context(), host.Request{Tool: "busy"})
		ctx, cancel := context.WithCancel(r.Context())
		waiting := r.start(ctx, host.Request{Tool: "echo"})
		behind := r.start(r.Context(), host.Request{Tool: "echo"})
		cancel()
		r.wantReason(<-waiting, errdefs.Cancelled)
		synctest.Wait()
		if s := r.settled(); s.Queued != 1 {
			r.Errorf("%d wait after the cancel, want 1", s.Queued)
		}
		r.all([]<-chan error{running, behind})
		if n := r.launcher.Launches(); n != 1 {
			r.Errorf("%d launches: the worker was killed", n)
		}
	})
}

func TestGraceOfACallThatWaitsInItsWorkerBeginsWithItsSlot(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		prefetching(1, 1)(c, l)
		l.Deaf = true
	}
	inBubble(t, change, func(r *rig) {
		running := r.start(r.Context(), host.Request{Tool: "busy"})
		ctx, cancel := context.WithCancel(r.Context())
		waiting := r.start(ctx, host.Request{Tool: "stuck"})
		cancel()
		r.wantReason(<-waiting, errdefs.Cancelled)
		r.all([]<-chan error{running}) // ten seconds: far beyond the grace
		took := timed(func() {
			<-r.launcher.Workers()[0].Done()
		})
		if took != 500*time.Millisecond {
			r.Errorf("killed %s after the stuck call got its slot, want the grace", took)
		}
	})
}

func TestPrefetchingPoolThatIsFullQueuesInOrder(t *testing.T) {
	var s starts
	inBubble(t, quick(&s, func(c *host.PoolConfig) { c.Size, c.Prefetch = 1, 1 }), func(r *rig) {
		var calls []<-chan error
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "quick", Payload: []byte(name)}))
		}
		r.all(calls)
		if got := strings.Join(s.all(), ""); got != "abcde" {
			r.Errorf("order %s", got)
		}
	})
}
