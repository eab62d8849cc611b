package lane_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func mustOpen(t *testing.T, l *lane.Lane, req lane.Request) *lane.Call {
	t.Helper()
	c, err := l.Open(t.Context(), req)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

func isDone(c *lane.Call) bool {
	synctest.Wait()
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

func TestCallWithoutAnswerEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		began := time.Now()
		c := mustOpen(t, l, lane.Request{Tool: "x", Deadline: began.Add(time.Second)})
		if us := r.next().GetCall().GetTimeoutUs(); us != 1_000_000 {
			t.Errorf("the call has %d µs", us)
		}
		_, err := c.Recv(t.Context())
		wantReason(t, err, errdefs.Deadline)
		if took := time.Since(began); took != time.Second || !errdefs.MayHaveRun(err) {
			t.Errorf("after %v: %v", took, err)
		}
		if reason := r.next().GetCancel().GetReason(); reason != "deadline" {
			t.Errorf("cancelled with %q", reason)
		}
		if isDone(c) {
			t.Error("the call is done without an end")
		}
		r.send(endFrame(1, 0))
		if !isDone(c) {
			t.Error("the call isn't done after its end")
		}
	})
}

func TestContextOfRecvLeavesTheCallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		c := mustOpen(t, l, lane.Request{Tool: "x", Deadline: time.Now().Add(time.Hour)})
		r.next()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Recv(ctx)
		wantReason(t, err, errdefs.Deadline)
		r.send(endFrame(1, 3))
		if m, err := c.Recv(t.Context()); err != nil || !m.Last || len(m.Payload) != 3 {
			t.Errorf("afterwards: %+v %v", m, err)
		}
		if _, err := c.Recv(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the result: %v", err)
		}
	})
}

func TestCancelOfACallThatIsNotWrittenYetEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		mustOpen(t, l, lane.Request{Tool: "first"})
		synctest.Wait() // the writer waits for a reader
		c := mustOpen(t, l, lane.Request{Tool: "second"})
		c.Cancel(nil)
		if !isDone(c) {
			t.Error("the call never got out, and isn't done")
		}
		mustOpen(t, l, lane.Request{Tool: "third"})
		if tool := r.next().GetCall().GetTool(); tool != "first" {
			t.Errorf("the first call is %q", tool)
		}
		if f := r.next(); f.GetCall().GetTool() != "third" || f.GetCallId() != 5 {
			t.Errorf("the next frame is %v", f)
		}
	})
}

func TestMayHaveRunSaysWhetherTheCallWasHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		handed := mustOpen(t, l, lane.Request{Tool: "handed"})
		r.next()
		half := mustOpen(t, l, lane.Request{Tool: "half", Payload: make([]byte, 1<<20)})
		r.next() // the first of five frames
		queued := mustOpen(t, l, lane.Request{Tool: "queued"})
		synctest.Wait()
		if err := r.conn.Close(); err != nil {
			t.Fatal(err)
		}
		for c, want := range map[*lane.Call]bool{handed: true, half: false, queued: false} {
			_, err := c.Recv(t.Context())
			wantReason(t, err, errdefs.WorkerCrashed)
			if errdefs.MayHaveRun(err) != want {
				t.Errorf("may have run: %v", err)
			}
			<-c.Done()
		}
		_, err := l.Open(t.Context(), lane.Request{Tool: "late"})
		wantReason(t, err, errdefs.WorkerCrashed)
		if errdefs.MayHaveRun(err) {
			t.Errorf("a call that was never opened may have run: %v", err)
		}
	})
}

func TestChunksThatArrivedOutliveTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		c := mustOpen(t, l, lane.Request{Tool: "x", Stream: true})
		r.next()
		r.send(dataFrame(1, 5))
		if err := r.conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-l.Done()
		if m, err := c.Recv(t.Context()); err != nil || len(m.Payload) != 5 {
			t.Errorf("the chunk: %+v %v", m, err)
		}
		_, err := c.Recv(t.Context())
		wantReason(t, err, errdefs.WorkerCrashed)
	})
}

func TestBadRequestsNeverGetOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := greeting()
		hello.MaxPayload = 1000
		l, _ := toRawWorker(t, lane.Config{}, hello)
		many := map[string]string{}
		for i := range 17 {
			many[strings.Repeat("k", i+1)] = ""
		}
		past, cancel := context.WithCancel(t.Context())
		cancel()
		for name, c := range map[string]struct {
			ctx  context.Context //nolint:containedctx // one for each case
			req  lane.Request
			want errdefs.Reason
		}{
			"no name":          {t.Context(), lane.Request{}, errdefs.InvalidToolName},
			"65 bytes of name": {t.Context(), lane.Request{Tool: strings.Repeat("x", 65)}, errdefs.InvalidToolName},
			"a long name":      {t.Context(), lane.Request{Tool: strings.Repeat("x", 10_000)}, errdefs.InvalidToolName},
			"a bad name":       {t.Context(), lane.Request{Tool: "-x"}, errdefs.InvalidToolName},
			"long arguments":   {t.Context(), lane.Request{Tool: "x", Payload: make([]byte, 1001)}, errdefs.PayloadTooLarge},
			"much metadata":    {t.Context(), lane.Request{Tool: "x", Metadata: many}, errdefs.InvalidArguments},
			"long metadata":    {t.Context(), lane.Request{Tool: "x", Metadata: map[string]string{"k": strings.Repeat("v", 4096)}}, errdefs.InvalidArguments},
			"odd metadata":     {t.Context(), lane.Request{Tool: "x", Metadata: map[string]string{"k": "\xff"}}, errdefs.InvalidArguments},
			"odd session":      {t.Context(), lane.Request{Tool: "x", Session: "\xff"}, errdefs.InvalidArguments},
			"long session":     {t.Context(), lane.Request{Tool: "x", Session: strings.Repeat("s", 257)}, errdefs.InvalidArguments},
			"long id":          {t.Context(), lane.Request{Tool: "x", ID: strings.Repeat("s", 257)}, errdefs.InvalidArguments},
			"passed deadline":  {t.Context(), lane.Request{Tool: "x", Deadline: time.Now()}, errdefs.Deadline},
			"ended context":    {past, lane.Request{Tool: "x"}, errdefs.Cancelled},
			"no such parent":   {t.Context(), lane.Request{Tool: "x", Parent: 2}, errdefs.Cancelled},
		} {
			_, err := l.Open(c.ctx, c.req)
			if got := errdefs.ReasonOf(err); got != c.want || errdefs.MayHaveRun(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestPeersLimitOnCallsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hello := greeting()
		hello.MaxCalls = 2
		l, r := toRawWorker(t, lane.Config{}, hello)
		c := mustOpen(t, l, lane.Request{Tool: "x"})
		mustOpen(t, l, lane.Request{Tool: "x"})
		for range 2 {
			r.next()
		}
		c.Cancel(nil) // counts until its end
		_, err := l.Open(t.Context(), lane.Request{Tool: "x"})
		wantReason(t, err, errdefs.QueueFull)
		r.next()
		r.send(endFrame(1, 0))
		<-c.Done()
		mustOpen(t, l, lane.Request{Tool: "x"})
		r.next()
	})
}

func TestDrainingPeerGetsNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		r.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Drain{Drain: &snakepitv1.Drain{}}})
		synctest.Wait()
		_, err := l.Open(t.Context(), lane.Request{Tool: "x"})
		wantReason(t, err, errdefs.Draining)
	})
}

func TestResultAboveOurMaxPayloadIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{Limits: lane.Limits{MaxPayload: 1000}}, greeting())
		c := mustOpen(t, l, lane.Request{Tool: "x"})
		r.next()
		r.send(more(endFrame(1, 800)), more(endFrame(1, 800)))
		_, err := c.Recv(t.Context())
		wantReason(t, err, errdefs.PayloadTooLarge)
		if reason := r.next().GetCancel().GetReason(); reason != "payload_too_large" || !errdefs.MayHaveRun(err) {
			t.Errorf("cancelled with %q after %v", reason, err)
		}
		r.send(endFrame(1, 800))
		if !isDone(c) {
			t.Error("the call isn't done after its end")
		}
	})
}

func TestProgressIsGivenNewestFirstAndNeverHidesAChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		c := mustOpen(t, l, lane.Request{Tool: "x", Stream: true})
		r.next()
		r.send(dataFrame(1, 7))
		for i := range 3 {
			r.send(&snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Progress{
				Progress: &snakepitv1.Progress{Done: float64(i), Message: strings.Repeat("ä", 200)},
			}})
		}
		r.send(endFrame(1, 0))
		synctest.Wait()
		m, err := c.Recv(t.Context())
		if err != nil || m.Progress == nil || m.Progress.Done != 2 || m.Progress.Message != strings.Repeat("ä", 128) {
			t.Errorf("the report: %+v %v", m, err)
		}
		if m, err := c.Recv(t.Context()); err != nil || len(m.Payload) != 7 {
			t.Errorf("the chunk: %+v %v", m, err)
		}
		if m, err := c.Recv(t.Context()); err != nil || !m.Last {
			t.Errorf("the result: %+v %v", m, err)
		}
	})
}

func TestSendAfterTheEndIsEOF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		c := mustOpen(t, l, lane.Request{Tool: "x", Input: true})
		r.next()
		r.send(endFrame(1, 0))
		synctest.Wait()
		if err := c.Send(t.Context(), []byte("late")); !errors.Is(err, io.EOF) {
			t.Errorf("send: %v", err)
		}
		if err := c.CloseSend(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func TestPingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := toRawWorker(t, lane.Config{}, greeting())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Ping(ctx)
		wantReason(t, err, errdefs.Deadline)
		nonce := r.next().GetPing().GetNonce()
		r.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Pong{Pong: &snakepitv1.Pong{Nonce: nonce}}}) // too late, and harmless
		r.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Pong{Pong: &snakepitv1.Pong{Nonce: 99}}})
		synctest.Wait()
		if err := l.Err(); err != nil {
			t.Errorf("the lane ended: %v", err)
		}
	})
}

func TestDialIsBoundedByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer func() { _ = b.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := lane.Dial(ctx, lane.Local(a, 0), lane.Config{})
		wantReason(t, err, errdefs.Deadline)
	})
}

func TestOtherVersionIsAMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, versions := range [][2]uint32{{2, 3}, {0, 0}} {
			a, b := net.Pipe()
			go func() {
				c := lane.Local(b, 0)
				_, _ = c.Read()
				h := greeting()
				h.VersionMin, h.VersionMax = versions[0], versions[1]
				_ = c.Write([]*snakepitv1.Frame{helloFrame(h)})
			}()
			_, err := lane.Dial(t.Context(), lane.Local(a, 0), lane.Config{})
			wantReason(t, err, errdefs.VersionMismatch)
		}
	})
}
