package lane_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func TestCalleeKeepsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(ctx context.Context, in *lane.Inbound) {
			<-ctx.Done()
			wantReason(t, context.Cause(ctx), errdefs.Deadline)
			in.End([]byte("too late"), nil)
		}
		_, r := toRawHost(t, lane.Config{Serve: serve}, greeting())
		began := time.Now()
		f := callFrame(1, "x")
		f.GetCall().TimeoutUs = 250_000
		r.send(f)
		if e := r.end(1); e.GetError().GetReason() != "deadline" || time.Since(began) != 250*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), e)
		}
	})
}

func TestHugeTimeoutIsNoDeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawHost(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End([]byte("ok"), nil) }}, greeting())
		f := callFrame(1, "x")
		f.GetCall().TimeoutUs = 1<<64 - 1
		r.send(f)
		if e := r.end(1); string(e.GetPayload()) != "ok" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestToolWithoutAnEndIsEndedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawHost(t, lane.Config{Serve: func(context.Context, *lane.Inbound) {}}, greeting())
		r.send(callFrame(1, "x"))
		if e := r.end(1); e.GetError().GetReason() != "internal" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestOnlyTheFirstEndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(_ context.Context, in *lane.Inbound) {
			in.End([]byte("one"), nil)
			in.End([]byte("two"), nil)
		}
		_, r := toRawHost(t, lane.Config{Serve: serve}, greeting())
		r.send(callFrame(1, "x"))
		if e := r.end(1); string(e.GetPayload()) != "one" {
			t.Errorf("ended with %v", e)
		}
		r.send(pingFrame())
		if f := r.next(); f.GetPong() == nil {
			t.Errorf("then %v", f)
		}
	})
}

func TestOddErrorsDoNotEndTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := &errdefs.Error{
			Reason: errdefs.PythonException, Message: "\xff" + strings.Repeat("m", 1<<20), Hint: "\xfe",
			Exception: &errdefs.Exception{Type: "\xff", Traceback: strings.Repeat("t", 1<<20), Notes: []string{"\xff", "b", "c", "d", "e"}},
			Exit:      &errdefs.Exit{Stderr: []string{strings.Repeat("\xff", 1<<20)}},
		}
		_, r := toRawHost(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End(nil, odd) }}, greeting())
		r.send(callFrame(1, "x"))
		e := r.end(1).GetError()
		if e.GetReason() != "python_exception" || !strings.HasPrefix(e.GetMessage(), "?mmm") || e.GetException().GetType() != "?" {
			t.Errorf("ended with %s", e.GetReason())
		}
		if n := len(e.GetMessage()); n > 4096 {
			t.Errorf("a message of %d bytes", n)
		}
	})
}

func TestResultAboveThePeersMaxPayloadIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := greeting()
		hello.MaxPayload = 100
		serve := func(ctx context.Context, in *lane.Inbound) {
			wantReason(t, in.Send(ctx, make([]byte, 101)), errdefs.PayloadTooLarge)
			in.End(make([]byte, 101), nil)
		}
		_, r := toRawHost(t, lane.Config{Serve: serve}, hello)
		f := callFrame(1, "x")
		f.GetCall().Stream = true
		r.send(f)
		if e := r.end(1); e.GetError().GetReason() != "payload_too_large" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestChunkForACallerThatTakesNoneIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawHost(t, lane.Config{Serve: func(ctx context.Context, in *lane.Inbound) { in.End(nil, in.Send(ctx, nil)) }}, greeting())
		r.send(callFrame(1, "x"))
		if e := r.end(1); e.GetError().GetReason() != "internal" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestCancelReachesTheToolWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(ctx context.Context, in *lane.Inbound) {
			_, err := in.Recv(ctx)
			wantReason(t, err, "worker_hung")
			<-ctx.Done()
			in.End(nil, errors.New("anything"))
		}
		_, r := toRawHost(t, lane.Config{Serve: serve}, greeting())
		f := callFrame(1, "x")
		f.GetCall().Input = true
		r.send(f)
		synctest.Wait()
		stop := cancelFrame(1)
		stop.GetCancel().Reason = "worker_hung"
		r.send(stop, cancelFrame(1))
		if e := r.end(1); e.GetError().GetReason() != "worker_hung" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestCancelOfAResultOnItsWayCutsItShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawHost(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End(make([]byte, 3<<20), nil) }}, greeting())
		r.send(callFrame(1, "x"))
		if f := r.next(); f.GetEnd() == nil || !f.GetMore() {
			t.Fatalf("the first frame is %v", f)
		}
		r.send(cancelFrame(1))
		synctest.Wait() // it's heard
		got := 1
		for f := r.next(); f.GetMore(); f = r.next() {
			got++
		}
		if got > 3 { // one more was on its way
			t.Errorf("%d frames of the result were sent after the cancel", got)
		}
		r.send(pingFrame())
		if f := r.next(); f.GetPong() == nil {
			t.Errorf("then %v", f)
		}
	})
}

func TestEndOfTheLaneStopsTheTools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan error, 1)
		var l *lane.Lane
		l, r := toRawHost(t, lane.Config{Serve: func(ctx context.Context, in *lane.Inbound) {
			c, err := l.Open(ctx, lane.Request{Tool: "host", Parent: in.ID()})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			_, err = c.Recv(context.WithoutCancel(ctx))
			wantReason(t, err, errdefs.Cancelled) // not worker_crashed: this is the worker
			<-ctx.Done()
			stopped <- context.Cause(ctx)
		}}, greeting())
		r.send(callFrame(1, "x"))
		if f := r.next(); f.GetCall().GetParent() != 1 || f.GetCallId() != 2 {
			t.Errorf("the worker's call is %v", f)
		}
		if err := r.conn.Close(); err != nil {
			t.Fatal(err)
		}
		wantReason(t, <-stopped, errdefs.Cancelled)
	})
}

func TestChildrenEndWithTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lane.Lane
		children := make(chan *lane.Call, 2)
		l, r := toRawHost(t, lane.Config{Serve: func(ctx context.Context, in *lane.Inbound) {
			c, err := l.Open(context.WithoutCancel(ctx), lane.Request{Tool: "host", Parent: in.ID()})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			children <- c
			if in.Request().Tool == "waits" {
				<-ctx.Done()
			}
			in.End(nil, nil)
		}}, greeting())
		r.send(callFrame(1, "waits"))
		r.next()
		r.send(cancelFrame(1))
		_, err := (<-children).Recv(t.Context())
		wantReason(t, err, errdefs.Cancelled)
		seen := map[string]bool{}
		for range 2 {
			f := r.next()
			seen[kindOf(f)] = true
		}
		if !seen["cancel"] || !seen["end"] {
			t.Errorf("the host saw %v", seen)
		}
	})
}

func kindOf(f *snakepitv1.Frame) string {
	switch {
	case f.GetCancel() != nil:
		return "cancel"
	case f.GetEnd() != nil:
		return "end"
	}
	return "other"
}

func TestReportsAreSpacedAndTheLastOneComesBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawHost(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) {
			for i := range 12 {
				in.Progress(lane.Progress{Done: float64(i)})
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond) // the last one isn't held until the end
			in.Progress(lane.Progress{Done: 98})
			in.Progress(lane.Progress{Done: 99})
			in.End([]byte("done"), nil)
		}}, greeting())
		began := time.Now()
		r.send(callFrame(1, "x"))
		type report struct {
			at   time.Duration
			done float64
		}
		var got []report
		for f := r.next(); f.GetEnd() == nil; f = r.next() {
			if !f.GetOptional() {
				t.Errorf("a report that isn't optional: %v", f)
			}
			got = append(got, report{time.Since(began), f.GetProgress().GetDone()})
		}
		if len(got) < 4 || got[len(got)-1].done != 99 || got[0].at != 0 {
			t.Fatalf("the reports are %v", got)
		}
		for i := 1; i < len(got)-2; i++ {
			if gap := got[i].at - got[i-1].at; gap < 50*time.Millisecond {
				t.Errorf("%v between two reports", gap)
			}
		}
		if late := got[len(got)-3]; late.done != 11 && got[len(got)-2].done != 11 {
			t.Errorf("the report before the pause wasn't written: %v", got)
		}
	})
}

func TestSecondSideOfALaneRefusesWhenItDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawHost(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End(nil, nil) }}, greeting())
		l.Drain()
		l.Drain()
		if f := r.next(); f.GetDrain() == nil {
			t.Errorf("the first frame is %v", f)
		}
		r.send(callFrame(1, "x"))
		if e := r.end(1); e.GetError().GetReason() != "draining" {
			t.Errorf("ended with %v", e)
		}
	})
}

func TestLaneWithoutToolsRefusesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := toRawWorker(t, lane.Config{}, greeting())
		r.send(callFrame(2, "x"))
		if e := r.end(2); e.GetError().GetReason() != "tool_not_found" {
			t.Errorf("ended with %v", e)
		}
	})
}
