package host_test

import (
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// threads is one worker with several slots.
func threads(slots int) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) { one(c, l); l.Slots = slots }
}

func TestNeighboursOfAStuckCallMayEndBeforeTheirWorkerIsKilled(t *testing.T) {
	inBubble(t, threads(4), func(r *rig) {
		c := r.open(host.Request{Tool: "stuck"})
		first := r.launcher.Worker(c.Worker())
		brief := r.start(r.Context(), host.Request{Tool: "work"}) // a second
		c.Close()
		time.Sleep(600 * time.Millisecond)
		if s := r.settled(); s.Ready != 0 || s.Busy != 2 {
			r.Errorf("after the grace: %+v", s)
		}
		took := timed(func() {
			if err := <-brief; err != nil {
				r.Errorf("the neighbour: %v", err)
			}
			<-first.Done()
		})
		if took != 400*time.Millisecond {
			r.Errorf("the worker lived for %s, want no longer than its last call", took)
		}
		r.must(host.Request{Tool: "echo"})
	})
}

func TestNeighbourThatOutlastsItsGraceIsEvicted(t *testing.T) {
	inBubble(t, threads(4), func(r *rig) {
		c := r.open(host.Request{Tool: "stuck"})
		other := r.start(r.Context(), host.Request{Tool: "busy"}) // ten seconds
		c.Close()
		took := timed(func() {
			e := r.wantReason(<-other, errdefs.WorkerCrashed)
			r.wantRan(e, true)
			if !strings.Contains(e.Message, "evicted") || !strings.Contains(e.Message, "stuck") || e.Where.Worker == "" {
				r.Errorf("error %+v", e)
			}
		})
		if took != 2500*time.Millisecond {
			r.Errorf("evicted after %s, want 500 ms and 2 s", took)
		}
	})
}

func TestEvictedCallIsRerunWhenItIsIdempotent(t *testing.T) {
	inBubble(t, threads(4), func(r *rig) {
		c := r.open(host.Request{Tool: "stuck"})
		other := r.start(r.Context(), host.Request{Tool: "busy", Idempotent: true})
		c.Close()
		if err := <-other; err != nil {
			r.Error(err)
		}
		r.wantEvents(host.EventCallRetried, 1)
	})
}

func TestStuckCallsDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, threads(4), func(r *rig) {
		a, b := r.open(host.Request{Tool: "stuck"}), r.open(host.Request{Tool: "stuck"})
		w := r.launcher.Worker(a.Worker())
		a.Close()
		time.Sleep(time.Second)
		b.Close()
		if took := timed(func() { <-w.Done() }); took != 500*time.Millisecond {
			r.Errorf("the worker lived for %s, want the second call's grace and no more", took)
		}
	})
}

func TestNoNeighbourGraceKillsAtOnce(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { threads(2)(c, l); c.Pools[0].NeighbourGrace = -1 }
	inBubble(t, change, func(r *rig) {
		c := r.open(host.Request{Tool: "stuck"})
		other := r.start(r.Context(), host.Request{Tool: "busy"})
		c.Close()
		if took := timed(func() { r.wantReason(<-other, errdefs.WorkerCrashed) }); took != 500*time.Millisecond {
			r.Errorf("evicted after %s", took)
		}
	})
}
