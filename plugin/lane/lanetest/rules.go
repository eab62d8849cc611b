package lanetest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// wire is a host that writes frames by hand, and so may break the rules.
type wire struct {
	*testing.T
	carrier lane.Carrier
	token   []byte
	worker  *snakepitv1.Hello // the worker's; nil before greet
}

type rule struct {
	name string
	run  func(w *wire)
}

// rules are the rules that a host of ours never breaks, and those about single frames.
func rules() []rule {
	return []rule{
		{"WrongTokenEndsTheLane", wrongToken},
		{"FirstFrameThatIsNoHelloEndsTheLane", func(w *wire) {
			w.send(ping(1))
			w.ends()
		}},
		{"OtherVersionEndsTheLane", func(w *wire) {
			h := w.hello()
			h.VersionMin, h.VersionMax = 2, 3
			w.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: h}})
			w.ends()
		}},
		{"NewerHostIsSpokenToInTheOlderVersion", func(w *wire) {
			h := w.hello()
			h.VersionMax = 9
			w.greet(h)
			w.answers(1)
		}},
		{"HelloWithoutLimitsEndsTheLane", func(w *wire) {
			h := w.hello()
			h.CallWindow = 0
			w.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: h}})
			w.ends()
		}},
		{"SecondHelloEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: w.hello()}})
			w.ends()
		}},
		{"NumberOfTheWrongSideEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.send(call(2, "echo", w.args("value", 1)))
			w.ends()
		}},
		{"NumberUsedAgainEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.answers(5)
			w.send(call(3, "echo", w.args("value", 1)))
			w.ends()
		}},
		{"UnknownFrameEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.send(unknown(false))
			w.ends()
		}},
		{"UnknownOptionalFrameIsSkipped", func(w *wire) {
			w.greet(w.hello())
			w.send(unknown(true))
			w.answers(1)
		}},
		{"FrameOfACallThatIsNotOpenIsDropped", func(w *wire) {
			w.greet(w.hello())
			w.answers(1)
			w.send(data(1, []byte("late"), false), &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_HalfClose{HalfClose: &snakepitv1.HalfClose{}}},
				cancel(1), credit(1, 10), data(77, nil, true))
			w.answers(79)
		}},
		{"DroppedFramesGiveTheLanesCreditBack", dropped},
		{"PayloadAboveMaxFrameEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.send(call(1, "sink", make([]byte, w.worker.GetMaxFrame()+1)))
			w.ends()
		}},
		{"BytesBeyondTheCreditEndTheLane", beyondCredit},
		{"MoreCreditThanTheWindowEndsTheLane", func(w *wire) {
			w.greet(w.hello())
			w.send(credit(0, 1))
			w.ends()
		}},
		{"BadToolNamesAreRefused", badNames},
		{"CallsAboveTheLimitAreRefused", tooMany},
		{"DeadlineIsKeptByTheWorkerItself", func(w *wire) {
			w.greet(w.hello())
			f := call(1, "spin", w.args())
			f.GetCall().TimeoutUs = 50_000
			w.send(f)
			w.endsCall(1, errdefs.Deadline)
		}},
		{"CancelBeforeTheArgumentsAreCompleteEndsTheCall", func(w *wire) {
			w.greet(w.hello())
			f := call(1, "echo", []byte("half"))
			f.More = true
			w.send(f, cancel(1))
			w.endsCall(1, errdefs.Cancelled)
			w.send(call(1, "", []byte("the rest")))
			w.answers(3)
		}},
		{"ResultWaitsForCredit", waitsForCredit},
		{"FramesKeepToTheHostsLimit", smallFrames},
		{"ReportsAreOptional", reports},
	}
}

func newWire(t *testing.T, p Peer) *wire {
	t.Helper()
	carrier, token := p.Dial(t)
	w := &wire{T: t, carrier: carrier, token: token}
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	closed := context.AfterFunc(ctx, func() { _ = carrier.Close() }) // nothing waits longer
	t.Cleanup(func() {
		if !closed() {
			t.Error("the worker neither answers nor ends the lane")
		}
		stop()
		if err := carrier.Close(); err != nil {
			t.Logf("close: %v", err)
		}
	})
	return w
}

func (w *wire) hello() *snakepitv1.Hello {
	return &snakepitv1.Hello{
		VersionMin: 1, VersionMax: 1, MaxFrame: frame, MaxPayload: huge, CallWindow: 1 << 20, LaneWindow: 4 << 20, MaxCalls: 64,
		Token: w.token, Agent: "lanetest",
	}
}

func (w *wire) greet(h *snakepitv1.Hello) {
	w.Helper()
	w.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: h}})
	f, err := w.carrier.Read()
	if err != nil || f.GetHello() == nil {
		w.Fatalf("instead of a hello: %v %v", f, err)
	}
	w.worker = f.GetHello()
}

func (w *wire) args(pairs ...any) []byte { return arguments(w, pairs...) }

// send writes frames, each by itself. A lane that has ended is no failure here.
func (w *wire) send(frames ...*snakepitv1.Frame) {
	w.Helper()
	for _, f := range frames {
		if err := w.carrier.Write([]*snakepitv1.Frame{f}); err != nil {
			w.Logf("write: %v", err)
			return
		}
	}
}

// next reads a frame, and gives the worker its credit for the lane back.
func (w *wire) next() *snakepitv1.Frame {
	w.Helper()
	f, err := w.carrier.Read()
	if err != nil {
		w.Fatalf("read: %v", err)
	}
	if n := len(payload(f)); f.GetCall() != nil || f.GetData() != nil || n > 0 {
		w.send(credit(0, uint64(n)+64))
	}
	return f
}

// end reads until the call's end.
func (w *wire) end(id uint64) *snakepitv1.End {
	w.Helper()
	for {
		f := w.next()
		if f.GetCallId() == id && f.GetEnd() != nil && !f.GetMore() {
			return f.GetEnd()
		}
	}
}

func (w *wire) endsCall(id uint64, want errdefs.Reason) {
	w.Helper()
	if got := w.end(id).GetError().GetReason(); got != string(want) {
		w.Errorf("call %d ended with %q, not %s", id, got, want)
	}
}

// ends reads until the worker ends the lane.
func (w *wire) ends() {
	w.Helper()
	for {
		if _, err := w.carrier.Read(); err != nil {
			return
		}
	}
}

// answers makes one call to see that the lane is whole.
func (w *wire) answers(id uint64) {
	w.Helper()
	want := encode(w, "whole")
	w.send(call(id, "echo", w.args("value", "whole")))
	if e := w.end(id); string(e.GetPayload()) != string(want) {
		w.Errorf("echo ended with %v", e)
	}
}

func wrongToken(w *wire) {
	if len(w.token) == 0 {
		w.Fatal("a worker without a token takes anyone")
	}
	w.token = append([]byte{w.token[0] ^ 1}, w.token[1:]...)
	w.send(&snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: w.hello()}})
	w.ends()
}

// dropped sends more than the lane's window to nobody.
func dropped(w *wire) {
	w.greet(w.hello())
	w.answers(1)
	balance := int64(w.worker.GetLaneWindow()) //nolint:gosec // a window
	chunk := make([]byte, 100_000)
	for range 100 {
		for balance <= 0 {
			if c := w.next(); c.GetCallId() == 0 && c.GetCredit() != nil {
				balance += int64(c.GetCredit().GetBytes()) //nolint:gosec // a window
			}
		}
		w.send(data(1, chunk, false))
		balance -= int64(len(chunk)) + 64
	}
	w.send(ping(9))
	for w.next().GetPong() == nil {
	}
}

// beyondCredit sends to a tool that is held up by chunks that nobody reads.
func beyondCredit(w *wire) {
	w.greet(w.hello())
	f := call(1, "upper", w.args())
	f.GetCall().Input, f.GetCall().Stream = true, true
	w.send(f)
	word := encode(w, strings.Repeat("x", 250_000))
	var reading sync.WaitGroup
	reading.Go(w.ends) // but no credit is given
	for range 40 {
		if err := w.carrier.Write([]*snakepitv1.Frame{data(1, word, false)}); err != nil {
			break
		}
	}
	reading.Wait()
}

func badNames(w *wire) {
	w.greet(w.hello())
	id := uint64(1)
	for _, name := range []string{"", "two words", ".dot", "ünicode", strings.Repeat("x", 65), strings.Repeat("x", 10_000)} {
		w.send(call(id, name, w.args()))
		w.endsCall(id, errdefs.InvalidToolName)
		id += 2
	}
	w.answers(id)
}

// tooMany opens one call more than the worker takes.
func tooMany(w *wire) {
	w.greet(w.hello())
	id := uint64(1)
	for range w.worker.GetMaxCalls() {
		w.send(call(id, "sleep", w.args("seconds", 50)))
		id += 2
	}
	w.send(call(id, "sleep", w.args("seconds", 50)))
	w.endsCall(id, errdefs.QueueFull)
}

// waitsForCredit gets a result of 8 windows, and gives credit for one at a time.
func waitsForCredit(w *wire) {
	const window, size = 100_000, 800_000
	h := w.hello()
	h.CallWindow, h.MaxFrame = window, 30_000
	w.greet(h)
	w.send(call(1, "blob", w.args("size", size)))
	got, balance := 0, window
	for {
		f := w.next()
		if f.GetEnd() == nil {
			continue
		}
		if balance <= 0 {
			w.Fatalf("a frame with a balance of %d", balance)
		}
		n := len(f.GetEnd().GetPayload())
		got += n
		balance -= n + 64
		if !f.GetMore() {
			break
		}
		if balance <= 0 { // whoever doesn't wait is seen before the pong
			w.send(ping(1))
			for f := w.next(); f.GetPong() == nil; f = w.next() {
				if f.GetEnd() != nil {
					w.Fatal("a frame without credit")
				}
			}
			w.send(credit(1, uint64(window-balance)))
			balance = window
		}
	}
	if got < size {
		w.Errorf("a result of %d bytes", got)
	}
}

func smallFrames(w *wire) {
	h := w.hello()
	h.MaxFrame, h.CallWindow = 1000, 1<<20
	w.greet(h)
	w.send(call(1, "blob", w.args("size", 50_000)))
	got := 0
	for {
		f := w.next()
		n := len(payload(f))
		if got += n; n > 1000 {
			w.Fatalf("a frame of %d bytes", n)
		}
		if f.GetEnd() != nil && !f.GetMore() {
			break
		}
	}
	if got < 50_000 {
		w.Errorf("a result of %d bytes", got)
	}
}

func reports(w *wire) {
	w.greet(w.hello())
	w.send(call(1, "progress", w.args("n", 3)))
	seen := 0
	for {
		f := w.next()
		if f.GetProgress() != nil {
			if seen++; !f.GetOptional() {
				w.Error("a report that isn't optional")
			}
		}
		if f.GetEnd() != nil {
			break
		}
	}
	if seen == 0 {
		w.Error("no report at all")
	}
}

func payload(f *snakepitv1.Frame) []byte {
	switch {
	case f.GetCall() != nil:
		return f.GetCall().GetPayload()
	case f.GetData() != nil:
		return f.GetData().GetPayload()
	}
	return f.GetEnd().GetPayload()
}

func call(id uint64, tool string, payload []byte) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{Tool: tool, Payload: payload}}}
}

func data(id uint64, payload []byte, more bool) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, More: more, Kind: &snakepitv1.Frame_Data{Data: &snakepitv1.Data{Payload: payload}}}
}

func cancel(id uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Cancel{Cancel: &snakepitv1.Cancel{Reason: "cancelled"}}}
}

func credit(id, bytes uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Credit{Credit: &snakepitv1.Credit{Bytes: bytes}}}
}

func ping(nonce uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{Kind: &snakepitv1.Frame_Ping{Ping: &snakepitv1.Ping{Nonce: nonce}}}
}

// unknown is a frame of a kind that will come one day.
func unknown(optional bool) *snakepitv1.Frame {
	f := &snakepitv1.Frame{Optional: optional}
	raw := protowire.AppendTag(nil, 900, protowire.BytesType)
	f.ProtoReflect().SetUnknown(protowire.AppendBytes(raw, []byte("new")))
	return f
}
