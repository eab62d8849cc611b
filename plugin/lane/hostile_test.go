package lane_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func unknownFrame(optional bool) *snakepitv1.Frame {
	f := &snakepitv1.Frame{Optional: optional}
	f.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 15, protowire.VarintType), 1))
	return f
}

func times(n int, f *snakepitv1.Frame) []*snakepitv1.Frame {
	out := make([]*snakepitv1.Frame, n)
	for i := range out {
		out[i] = f
	}
	return out
}

// TestBrokenRuleEndsTheLane has a worker break one rule each time, while the host's
// calls 1 (plain) and 3 (a stream) are open.
func TestBrokenRuleEndsTheLane(t *testing.T) {
	for name, frames := range map[string][]*snakepitv1.Frame{
		"second hello":               {helloFrame(greeting())},
		"unknown kind":               {unknownFrame(false)},
		"no kind":                    {{}},
		"number of the wrong side":   {callFrame(5, "x")},
		"number used again":          {callFrame(4, "x"), callFrame(2, "x")},
		"call opened twice":          {callFrame(4, "x"), callFrame(4, "x")},
		"arguments after arguments":  {callFrame(4, "x"), callFrame(4, "")},
		"no number":                  {callFrame(0, "x")},
		"chunk without a number":     {dataFrame(0, 1)},
		"chunk for a plain call":     {dataFrame(1, 1)},
		"chunk without input":        {callFrame(4, "x"), dataFrame(4, 1)},
		"chunk before the arguments": {more(callFrame(4, "x")), dataFrame(4, 1)},
		"half-close without input":   {callFrame(4, "x"), halfClose(4)},
		"half-close by the callee":   {halfClose(1)},
		"cancel by the callee":       {cancelFrame(1)},
		"end by the caller":          {callFrame(4, "x"), endFrame(4, 0)},
		"end inside of a chunk":      {more(dataFrame(3, 10)), endFrame(3, 10)},
		"frame above max_frame":      {dataFrame(3, 256<<10+1)},
		"credit above the window":    {creditFrame(3, 1<<21)},
		"huge credit":                {creditFrame(3, 1<<64-1)},
		"credit above the lane's":    {creditFrame(0, 5<<20)},
		"huge credit for the lane":   {creditFrame(0, 1<<63)},
		"chunks beyond the credit":   times(6, dataFrame(3, 256<<10)),
		"empty chunks beyond credit": times(1<<20/64+256<<10/64+10, dataFrame(3, 0)),
		"results beyond the credit":  {more(dataFrame(3, 1)), dataFrame(3, 256<<10), dataFrame(3, 256<<10), dataFrame(3, 256<<10), dataFrame(3, 256<<10), dataFrame(3, 256<<10), more(endFrame(3, 256<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serve := func(ctx context.Context, _ *lane.Inbound) { <-ctx.Done() }
				l, r := toRawWorker(t, lane.Config{Serve: serve}, greeting())
				c := mustOpen(t, l, lane.Request{Tool: "plain"})
				mustOpen(t, l, lane.Request{Tool: "stream", Stream: true})
				for range 2 {
					r.next()
				}
				go func() { // what the host still says
					for {
						if _, err := r.carrier.Read(); err != nil {
							return
						}
					}
				}()
				for _, f := range frames {
					if r.carrier.Write([]*snakepitv1.Frame{f}) != nil {
						break
					}
				}
				synctest.Wait()
				wantReason(t, l.Err(), errdefs.Protocol)
				_, err := c.Recv(t.Context())
				wantReason(t, err, errdefs.WorkerCrashed)
			})
		})
	}
}

func TestHarmlessOddityIsTaken(t *testing.T) {
	for name, frames := range map[string][]*snakepitv1.Frame{
		"unknown optional kind":    {unknownFrame(true)},
		"end of a call never made": {endFrame(99, 5)},
		"chunk of a call long ago": {dataFrame(98, 5), halfClose(98), cancelFrame(98), creditFrame(99, 1<<40)},
		"rest of a call long ago":  {callFrame(6, "a b"), callFrame(6, ""), callFrame(4, "")},
		"report without a call":    {{CallId: 99, Kind: &snakepitv1.Frame_Progress{Progress: &snakepitv1.Progress{}}}},
		"pong without a ping":      {{Kind: &snakepitv1.Frame_Pong{Pong: &snakepitv1.Pong{Nonce: 1}}}},
		"given-up chunk":           {more(dataFrame(3, 10)), endFrame(3, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, r := toRawWorker(t, lane.Config{}, greeting())
				c := mustOpen(t, l, lane.Request{Tool: "plain"})
				s := mustOpen(t, l, lane.Request{Tool: "stream", Stream: true})
				for range 2 {
					r.next()
				}
				go func() {
					for {
						if _, err := r.carrier.Read(); err != nil {
							return
						}
					}
				}()
				r.send(frames...)
				r.send(endFrame(1, 2), endFrame(3, 0))
				for _, c := range []*lane.Call{c, s} {
					if m, err := c.Recv(t.Context()); err != nil || !m.Last {
						t.Errorf("afterwards: %+v %v", m, err)
					}
				}
			})
		})
	}
}

func TestBadCallFromThePeerIsRefusedAndTheLaneGoesOn(t *testing.T) {
	metadata := func(n, size int) *snakepitv1.Frame {
		f := callFrame(2, "x")
		f.GetCall().Metadata = map[string]string{}
		for i := range n {
			f.GetCall().Metadata[fmt.Sprint(i)] = strings.Repeat("v", size)
		}
		return f
	}
	session := callFrame(2, "x")
	session.GetCall().Session = strings.Repeat("s", 257)
	for name, c := range map[string]struct {
		frame *snakepitv1.Frame
		want  errdefs.Reason
	}{
		"no name":        {callFrame(2, ""), errdefs.InvalidToolName},
		"a long name":    {callFrame(2, strings.Repeat("x", 10_000)), errdefs.InvalidToolName},
		"much metadata":  {metadata(10_000, 1), errdefs.InvalidArguments},
		"large metadata": {metadata(2, 100_000), errdefs.InvalidArguments},
		"a long session": {session, errdefs.InvalidArguments},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := toRawWorker(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End(nil, nil) }}, greeting())
				r.send(c.frame)
				if e := r.end(2); e.GetError().GetReason() != string(c.want) {
					t.Errorf("ended with %v", e)
				}
				r.send(callFrame(4, "y"))
				if e := r.end(4); e.GetError() != nil {
					t.Errorf("then ended with %v", e)
				}
			})
		})
	}
}

func TestArgumentsAboveMaxPayloadAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(_ context.Context, in *lane.Inbound) { t.Errorf("served %s", in.Request().Tool) }
		_, r := toRawWorker(t, lane.Config{Serve: serve, Limits: lane.Limits{MaxPayload: 1000}}, greeting())
		first := more(callFrame(2, "x"))
		first.GetCall().Payload = make([]byte, 900)
		second := more(callFrame(2, ""))
		second.GetCall().Payload = make([]byte, 900)
		r.send(first, second)
		if e := r.end(2); e.GetError().GetReason() != "payload_too_large" {
			t.Errorf("ended with %v", e)
		}
		r.send(second, callFrame(2, ""), pingFrame())
		if f := r.next(); f.GetPong() == nil {
			t.Errorf("then %v", f)
		}
	})
}

func TestCallsAboveOurLimitAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(ctx context.Context, in *lane.Inbound) {
			<-ctx.Done()
			in.End(nil, ctx.Err())
		}
		_, r := toRawWorker(t, lane.Config{Serve: serve, Limits: lane.Limits{MaxCalls: 2}}, greeting())
		r.send(callFrame(2, "x"), callFrame(4, "x"), callFrame(6, "x"))
		if e := r.end(6); e.GetError().GetReason() != "queue_full" {
			t.Errorf("ended with %v", e)
		}
		r.send(cancelFrame(2))
		r.end(2)
		r.send(callFrame(8, "x"), pingFrame())
		if f := r.next(); f.GetPong() == nil {
			t.Errorf("then %v", f)
		}
	})
}

// TestPeerThatReadsNothingIsNotOwedWithoutBound floods a host that can't write.
func TestPeerThatReadsNothingIsNotOwedWithoutBound(t *testing.T) {
	for name, flood := range map[string]func(i uint64) *snakepitv1.Frame{
		"pings":      func(uint64) *snakepitv1.Frame { return pingFrame() },
		"bad calls":  func(i uint64) *snakepitv1.Frame { return callFrame(2+2*i, "a b") },
		"many calls": func(i uint64) *snakepitv1.Frame { return callFrame(2+2*i, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, r := toRawWorker(t, lane.Config{Serve: func(_ context.Context, in *lane.Inbound) { in.End(nil, nil) }}, greeting())
				for i := range uint64(10_000) {
					if r.carrier.Write([]*snakepitv1.Frame{flood(i)}) != nil {
						break
					}
				}
				synctest.Wait()
				wantReason(t, l.Err(), errdefs.Protocol)
			})
		})
	}
}

func TestBadOpeningIsAnErrorOfDial(t *testing.T) {
	zero := greeting()
	zero.MaxCalls = 0
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for name, c := range map[string]struct {
		answer []byte
		want   errdefs.Reason
	}{
		"no hello":          {encoded(t, pingFrame()), errdefs.Protocol},
		"no limits":         {encoded(t, helloFrame(zero)), errdefs.Protocol},
		"a huge length":     {length(1 << 31), errdefs.Protocol},
		"a length too much": {length(256<<10 + 64<<10 + 1), errdefs.Protocol},
		"garbage":           {append(length(4), 0xff, 0xff, 0xff, 0xff), errdefs.Protocol},
		"nothing":           {nil, errdefs.HostUnreachable},
		"half a length":     {[]byte{0, 0}, errdefs.HostUnreachable},
		"half a frame":      {append(length(4), 1), errdefs.HostUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				go func() {
					_, _ = lane.Local(b, 0).Read()
					_, _ = b.Write(c.answer)
					_ = b.Close()
				}()
				_, err := lane.Dial(t.Context(), lane.Local(a, 0), lane.Config{})
				wantReason(t, err, c.want)
			})
		})
	}
}

// encoded is frames as the local carrier writes them.
func encoded(tb testing.TB, frames ...*snakepitv1.Frame) []byte {
	tb.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		err := lane.Local(a, 0).Write(frames)
		_ = a.Close()
		done <- err
	}()
	var out []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := b.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			break
		}
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestWrongTokenIsUnauthenticated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, token := range []string{"", "wrong", "right token"} {
			a, b := net.Pipe()
			go func() {
				h := greeting()
				h.Token = []byte(token)
				_ = lane.Local(a, 0).Write([]*snakepitv1.Frame{helloFrame(h)})
				_, _ = a.Read(make([]byte, 100))
			}()
			_, err := lane.Accept(t.Context(), lane.Local(b, 0), lane.Config{Token: []byte("right token!")})
			wantReason(t, err, errdefs.Unauthenticated)
		}
	})
}
