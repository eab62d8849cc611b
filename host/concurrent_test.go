package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func roomy(_ *host.Config, l *hosttest.Launcher) { l.Slots = 4 }

func (r *rig) all(calls []<-chan error) {
	r.Helper()
	for _, done := range calls {
		if err := <-done; err != nil {
			r.Error(err)
		}
	}
}

func TestCallsOfAConcurrentSessionRunBesideEachOther(t *testing.T) {
	s := newSpy()
	change := func(c *host.Config, l *hosttest.Launcher) { roomy(c, l); c.Registry = s }
	inBubble(t, change, func(r *rig) {
		var calls []<-chan error
		took := timed(func() {
			for range 4 { // the first opens it, and the others wait for no more than that
				calls = append(calls, r.start(r.Context(), host.Request{Tool: "work", Session: "s", Concurrent: true}))
			}
			r.all(calls)
		})
		if took != time.Second {
			r.Errorf("four calls of a second took %s", took)
		}
		r.wantAsked(s, map[string]int{"read": 1, "open": 1})
		took = timed(func() {
			r.all([]<-chan error{
				r.start(r.Context(), host.Request{Tool: "work", Session: "t"}),
				r.start(r.Context(), host.Request{Tool: "work", Session: "t", Concurrent: true}), // too late to say
			})
		})
		if took != 2*time.Second {
			r.Errorf("two calls of a plain session took %s", took)
		}
	})
}

func TestClosingAConcurrentSessionWaitsForItsCalls(t *testing.T) {
	inBubble(t, roomy, func(r *rig) {
		var calls []<-chan error
		for range 3 {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "work", Session: "s", Concurrent: true}))
		}
		closed := make(chan time.Duration, 1)
		go func() {
			closed <- timed(func() {
				if err := r.CloseSession(r.Context(), "s"); err != nil {
					r.Error(err)
				}
			})
		}()
		synctest.Wait()
		late := r.start(r.Context(), host.Request{Tool: "echo", Session: "s", MustExist: true}) // behind the close
		r.all(calls)
		if took := <-closed; took != time.Second {
			r.Errorf("closed after %s", took)
		}
		r.wantReason(<-late, errdefs.SessionNotFound)
	})
}

func TestCloseThatIsGivenUpHoldsNobodyUp(t *testing.T) {
	inBubble(t, roomy, func(r *rig) {
		busy := r.start(r.Context(), host.Request{Tool: "busy", Session: "s", Concurrent: true})
		ctx, cancel := context.WithCancel(r.Context())
		closed := make(chan error, 1)
		go func() { closed <- r.CloseSession(ctx, "s") }()
		synctest.Wait()
		behind := r.start(r.Context(), host.Request{Tool: "echo", Session: "s"})
		cancel()
		r.wantReason(<-closed, errdefs.Cancelled)
		took := timed(func() { r.all([]<-chan error{behind}) })
		if took != 0 {
			r.Errorf("the call behind it waited for %s more", took)
		}
		r.all([]<-chan error{busy})
	})
}

func TestConcurrentSessionInUseDoesNotExpire(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { roomy(c, l); c.SessionTTL = 5 * time.Second }
	inBubble(t, change, func(r *rig) {
		long := r.start(r.Context(), host.Request{Tool: "busy", Session: "s", Concurrent: true})
		r.must(host.Request{Tool: "echo", Session: "s", MustExist: true})
		time.Sleep(9 * time.Second)
		r.must(host.Request{Tool: "echo", Session: "s", MustExist: true})
		r.all([]<-chan error{long})
		time.Sleep(5001 * time.Millisecond)
		r.fails(host.Request{Tool: "echo", Session: "s", MustExist: true}, errdefs.SessionExpired)
	})
}

func TestOneCallOfAConcurrentSessionFindsItsNewHome(t *testing.T) {
	s := newSpy()
	change := func(c *host.Config, l *hosttest.Launcher) { roomy(c, l); c.Registry = s }
	inBubble(t, change, func(r *rig) {
		home := r.opened(host.Request{Session: "s", Concurrent: true})
		r.launcher.Worker(home).Crash()
		synctest.Wait()
		_ = s.counts()
		var calls []<-chan error
		for range 4 {
			calls = append(calls, r.start(r.Context(), host.Request{Tool: "work", Session: "s"}))
		}
		r.all(calls)
		r.wantAsked(s, map[string]int{"bind": 1})
	})
}

func TestNestedCallOfItsAncestorsConcurrentSessionRuns(t *testing.T) {
	inBubble(t, roomy, func(r *rig) {
		r.offer("same", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(time.Second) // until the close waits
			return r.do(ctx, host.Request{Tool: "echo", Session: "s", Payload: []byte("inner")})
		})
		outer := r.start(r.Context(), host.Request{Tool: "ask", Session: "s", Concurrent: true, Payload: []byte("same")})
		closed := make(chan error, 1)
		go func() { closed <- r.CloseSession(r.Context(), "s") }()
		took := timed(func() { r.all([]<-chan error{outer, closed}) })
		if took != time.Second {
			r.Errorf("took %s", took)
		}
	})
}
