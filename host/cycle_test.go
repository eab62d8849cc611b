package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// nesting offers a host tool that makes a call of the pool when all of n calls have
// come so far, and gives that call's error.
func (r *rig) nesting(n int, req host.Request) {
	come := make(chan struct{}, n)
	all := make(chan struct{})
	r.offer("nest", true, func(ctx context.Context, _ []byte) ([]byte, error) {
		if come <- struct{}{}; len(come) == n {
			close(all)
		}
		<-all
		return r.do(ctx, req)
	})
}

func TestPoolThatWaitsForItselfFailsTheNewest(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		if err := r.Ready(r.Context()); err != nil {
			r.Fatal(err)
		}
		r.nesting(2, host.Request{Tool: "echo"})
		var errs []error
		took := timed(func() {
			a, b := r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("nest")}), r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("nest")})
			errs = []error{<-a, <-b}
		})
		failed := 0
		for _, err := range errs {
			if err != nil {
				r.wantReason(err, errdefs.CallCycle)
				failed++
			}
		}
		if failed != 1 || took != 0 {
			r.Errorf("%d of 2 failed after %s; want one, at once: its slot lets the other go on", failed, took)
		}
	})
}

func TestCallThatWaitsForItsOwnSlotFailsAtOnce(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		r.nesting(1, host.Request{Tool: "echo"})
		took := timed(func() { r.fails(host.Request{Tool: "ask", Payload: []byte("nest")}, errdefs.CallCycle) })
		if took != 0 {
			r.Errorf("took %s", took)
		}
		r.must(host.Request{Tool: "echo"})
	})
}

func TestNestedCallWaitsWhereASlotWillComeFree(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		if err := r.Ready(r.Context()); err != nil {
			r.Fatal(err)
		}
		r.nesting(1, host.Request{Tool: "echo"})
		work := r.start(r.Context(), host.Request{Tool: "work"})
		r.all([]<-chan error{r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("nest")}), work})
	})
}

func TestNestedCallWaitsForAWorkerThatStarts(t *testing.T) {
	slow := func(c *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(_ context.Context, _ host.Spec, n int) error {
			time.Sleep(time.Duration(n-1) * time.Second)
			return nil
		}
	}
	inBubble(t, slow, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		r.nesting(1, host.Request{Tool: "echo"})
		took := timed(func() { r.must(host.Request{Tool: "ask", Payload: []byte("nest")}) })
		if took != time.Second {
			r.Errorf("took %s, want the second until the other worker is there", took)
		}
	})
}
