package lane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// lanes is a host's lane and a worker's, connected, in a bubble.
func lanes(t *testing.T, limits Limits, serve func(ctx context.Context, in *Inbound)) (host, worker *Lane) {
	t.Helper()
	a, b := net.Pipe()
	accepted := make(chan *Lane, 1)
	go func() {
		w, err := Accept(t.Context(), Local(b, 0), Config{Serve: serve, Limits: limits})
		if err != nil {
			t.Errorf("accept: %v", err)
		}
		accepted <- w
	}()
	host, err := Dial(t.Context(), Local(a, 0), Config{Limits: limits})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	worker = <-accepted
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- host.Run(ctx) }()
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
	})
	return host, worker
}

func openCall(t testing.TB, l *Lane, req Request) *Call { //nolint:thelper // a rapid.T too
	c, err := l.Open(context.Background(), req)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

// waiting is what a call's unread chunks take.
func waiting(s *stream) int64 {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	n := int64(len(s.in.part))
	for _, c := range s.in.queue[s.in.head:] {
		n += c.cost
	}
	return n
}

func TestSlowReaderOfManyChunksHoldsAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks = 100_000
		var in *Inbound
		serve := func(ctx context.Context, i *Inbound) {
			in = i
			for n := range chunks {
				if err := i.Send(ctx, fmt.Append(nil, n)); err != nil {
					t.Errorf("send: %v", err)
					return
				}
			}
			i.End(nil, nil)
		}
		h, w := lanes(t, Limits{}, serve)
		c := openCall(t, h, Request{Tool: "x", Stream: true})
		for n := range chunks {
			if n%10_000 == 0 {
				synctest.Wait() // the worker has sent whatever it may
				if held := waiting(&c.stream); held > defaultCallWindow+defaultFrame {
					t.Fatalf("the host holds %d bytes", held)
				}
				w.mu.Lock()
				if in.out.queued > sendAhead+frameCost+10 {
					t.Fatalf("the worker holds %d bytes", in.out.queued)
				}
				w.mu.Unlock()
			}
			m, err := c.Recv(t.Context())
			if want := fmt.Sprint(n); err != nil || string(m.Payload) != want {
				t.Fatalf("chunk %s: %q %v", want, m.Payload, err)
			}
		}
		if m, err := c.Recv(t.Context()); err != nil || !m.Last {
			t.Errorf("at the end: %+v %v", m, err)
		}
	})
}

func TestEmptyChunksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		serve := func(ctx context.Context, in *Inbound) {
			for in.Send(ctx, nil) == nil {
				sent++
			}
			in.End(nil, nil)
		}
		h, _ := lanes(t, Limits{}, serve)
		c := openCall(t, h, Request{Tool: "x", Stream: true})
		synctest.Wait()
		if most := (defaultCallWindow+sendAhead)/frameCost + 1; sent > most || sent < most-2 {
			t.Errorf("%d empty chunks were sent, where %d are the most", sent, most)
		}
		c.Cancel(nil)
		<-c.Done()
	})
}

func TestCallsTakeTurnsFrameByFrame(t *testing.T) {
	l := newLane(nil, Config{}, true, defaults())
	for range 3 {
		openCall(t, l, Request{Tool: "x", Payload: make([]byte, 3*defaultFrame)})
	}
	var order []uint64
	for range 9 {
		for _, f := range l.step() {
			order = append(order, f.GetCallId())
		}
	}
	if want := "[1 3 5 1 3 5 1 3 5]"; fmt.Sprint(order) != want {
		t.Errorf("the frames' order is %v", order)
	}
}

// step composes a batch as the writer would.
func (l *Lane) step() []*snakepitv1.Frame {
	l.mu.Lock()
	frames := l.compose(time.Now())
	l.mu.Unlock()
	out := make([]*snakepitv1.Frame, len(frames))
	for i, f := range frames {
		out[i] = &snakepitv1.Frame{CallId: f.GetCallId(), More: f.GetMore()}
		switch {
		case f.GetCancel() != nil:
			out[i].Kind = &snakepitv1.Frame_Cancel{}
		case f.GetHalfClose() != nil:
			out[i].Kind = &snakepitv1.Frame_HalfClose{}
		}
	}
	l.wrote(false)
	return out
}

func TestControlFramesOvertakeData(t *testing.T) {
	l := newLane(nil, Config{}, true, defaults())
	huge := openCall(t, l, Request{Tool: "x", Payload: make([]byte, 64<<20)})
	other := openCall(t, l, Request{Tool: "x", Payload: make([]byte, 64<<20)})
	closing := openCall(t, l, Request{Tool: "x", Input: true})
	for range 3 {
		l.step()
	}
	if err := closing.CloseSend(); err != nil {
		t.Fatal(err)
	}
	huge.Cancel(nil)
	got := strings.ReplaceAll(fmt.Sprint(l.step()), "  ", " ") // protobuf varies its spaces
	if got != "[call_id:5 half_close:{} call_id:1 cancel:{} call_id:3 more:true]" {
		t.Errorf("the next frames are %s", got)
	}
	for range 20 {
		for _, f := range l.step() {
			if f.GetCallId() == huge.ID() {
				t.Errorf("after its cancel: %v", f)
			}
		}
	}
	if other.sent {
		t.Error("64 MiB went out without credit")
	}
}

func TestHalfCloseStaysBehindItsChunks(t *testing.T) {
	l := newLane(nil, Config{}, true, defaults())
	c := openCall(t, l, Request{Tool: "x", Input: true})
	if err := c.Send(t.Context(), make([]byte, 3*defaultFrame)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var kinds []bool
	for range 6 {
		for _, f := range l.step() {
			kinds = append(kinds, f.GetKind() != nil)
		}
	}
	if fmt.Sprint(kinds) != "[false false false false true]" {
		t.Errorf("half-closes among the frames: %v", kinds)
	}
}

// TestAnyUseLeavesBothSidesAtRest opens, sends, reads, cancels and waits in any
// order. At the end all calls are done, and the books of both sides are as at the start.
func TestAnyUseLeavesBothSidesAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) {
			limits := Limits{
				MaxFrame: rapid.IntRange(1, 300).Draw(rt, "frame"), CallWindow: rapid.IntRange(1, 900).Draw(rt, "window"),
				LaneWindow: rapid.IntRange(1, 2000).Draw(rt, "lane"), MaxCalls: 4, MaxPayload: 3000,
			}
			u := newUse(t, limits)
			rt.Repeat(map[string]func(*rapid.T){
				"":       func(*rapid.T) {},
				"open":   u.open,
				"send":   u.send,
				"close":  u.close,
				"read":   u.read,
				"cancel": u.cancel,
				"wait":   func(*rapid.T) { synctest.Wait() },
			})
			u.finish(rt)
		})
	})
}

// use is a host and a worker whose tool gives back what it gets: arguments as the
// first chunk, each chunk, and all of it again as the result.
type use struct {
	host, worker *Lane
	stop         context.CancelFunc
	ended        chan error
	calls        []*used
}

type used struct {
	*Call
	want   []byte // of the result
	got    []byte // of the chunks
	closed bool
	result bool
	failed bool
}

func newUse(t *testing.T, limits Limits) *use {
	t.Helper()
	a, b := net.Pipe()
	u := &use{ended: make(chan error, 2)}
	accepted := make(chan *Lane, 1)
	go func() {
		w, err := Accept(t.Context(), Local(b, 0), Config{Serve: giveBack, Limits: limits})
		if err != nil {
			t.Errorf("accept: %v", err)
		}
		accepted <- w
	}()
	var err error
	if u.host, err = Dial(t.Context(), Local(a, 0), Config{Limits: limits}); err != nil {
		t.Fatalf("dial: %v", err)
	}
	u.worker = <-accepted
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	u.stop = cancel
	go func() { u.ended <- u.host.Run(ctx) }()
	go func() { u.ended <- u.worker.Run(ctx) }()
	return u
}

func giveBack(ctx context.Context, in *Inbound) {
	all := append([]byte(nil), in.Request().Payload...)
	next := in.Request().Payload
	for {
		if in.Request().Stream {
			if err := in.Send(ctx, next); err != nil {
				in.End(nil, err)
				return
			}
		}
		var err error
		if next, err = in.Recv(ctx); errors.Is(err, io.EOF) {
			in.End(all, nil)
			return
		} else if err != nil {
			in.End(nil, err)
			return
		}
		all = append(all, next...)
	}
}

func (u *use) open(rt *rapid.T) {
	req := Request{
		Tool: "x", Payload: rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(rt, "payload"),
		Stream: rapid.Bool().Draw(rt, "stream"), Input: rapid.Bool().Draw(rt, "input"),
	}
	c, err := u.host.Open(context.Background(), req)
	if err != nil {
		return // too many
	}
	u.calls = append(u.calls, &used{Call: c, want: append([]byte(nil), req.Payload...), closed: !req.Input})
}

func (u *use) pick(rt *rapid.T) *used {
	if len(u.calls) == 0 {
		rt.Skip("no calls")
	}
	return u.calls[rapid.IntRange(0, len(u.calls)-1).Draw(rt, "call")]
}

// send sends a chunk if there is room for it at once.
func (u *use) send(rt *rapid.T) {
	c := u.pick(rt)
	if c.closed || len(c.want) > 2000 {
		return
	}
	chunk := rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(rt, "chunk")
	if c.Send(context.Background(), chunk) == nil {
		c.want = append(c.want, chunk...)
	}
}

func (u *use) close(rt *rapid.T) {
	c := u.pick(rt)
	c.closed = true
	if err := c.CloseSend(); err != nil {
		rt.Fatal(err)
	}
}

// read reads what is there.
func (u *use) read(rt *rapid.T) {
	c := u.pick(rt)
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.take(ctx, rt)
}

func (c *used) take(ctx context.Context, rt *rapid.T) {
	m, err := c.Recv(ctx)
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		c.failed = c.failed || c.unwanted()
	case m.Last:
		c.result = true
		if string(m.Payload) != string(c.want) || c.takes && string(c.got) != string(c.want) {
			rt.Fatalf("call %d gave %d bytes of chunks and %d of result, where %d are right", c.id, len(c.got), len(m.Payload), len(c.want))
		}
	default:
		c.got = append(c.got, m.Payload...)
	}
}

func (u *use) cancel(rt *rapid.T) { u.pick(rt).Cancel(nil) }

func (u *use) finish(rt *rapid.T) {
	for _, c := range u.calls {
		if err := c.CloseSend(); err != nil {
			rt.Fatal(err)
		}
		for !c.result && !c.failed {
			c.take(context.Background(), rt)
		}
		<-c.Done()
	}
	synctest.Wait()
	for name, l := range map[string]*Lane{"host": u.host, "worker": u.worker} {
		l.mu.Lock()
		if err := l.err; err != nil {
			rt.Fatalf("the %s's lane ended: %v", name, err)
		}
		if n := len(l.calls) + len(l.served); n != 0 || l.writer.data.n != 0 || len(l.writer.control) != 0 {
			rt.Fatalf("the %s has %d calls at the end", name, n)
		}
		l.mu.Unlock()
	}
	books(rt, u.host, u.worker)
	books(rt, u.worker, u.host)
	u.stop()
	for range 2 {
		if err := <-u.ended; err != nil {
			rt.Fatalf("run: %v", err)
		}
	}
}

// books compares the lane's balance on both sides, when nothing is on its way.
func books(rt *rapid.T, from, to *Lane) {
	from.mu.Lock()
	sender := from.credit
	from.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	if sender != to.in.balance || to.in.balance+to.in.owed != to.in.window {
		rt.Fatalf("the sender has %d, the receiver counts %d and owes %d of %d", sender, to.in.balance, to.in.owed, to.in.window)
	}
}
