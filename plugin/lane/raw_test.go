package lane_test

import (
	"context"
	"net"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// raw is the other side of a lane, frame by frame. It's meant for bubbles, where
// it runs in the test's goroutine: what nobody reads isn't written.
type raw struct {
	*testing.T
	conn    net.Conn
	carrier lane.Carrier
}

func greeting() *snakepitv1.Hello {
	return &snakepitv1.Hello{
		VersionMin: 1, VersionMax: 1, MaxFrame: 256 << 10, MaxPayload: 64 << 20, CallWindow: 1 << 20, LaneWindow: 4 << 20, MaxCalls: 1024,
	}
}

// toRawWorker opens a host's lane to a worker that is the test.
func toRawWorker(t *testing.T, cfg lane.Config, hello *snakepitv1.Hello) (*lane.Lane, *raw) {
	t.Helper()
	a, b := net.Pipe()
	r := &raw{t, b, lane.Local(b, 0)}
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		if _, err := r.carrier.Read(); err != nil {
			t.Errorf("hello: %v", err)
		}
		r.send(helloFrame(hello))
	}()
	l, err := lane.Dial(t.Context(), lane.Local(a, 0), cfg)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	<-greeted
	running(t, l, r)
	return l, r
}

// toRawHost opens a worker's lane to a host that is the test.
func toRawHost(t *testing.T, cfg lane.Config, hello *snakepitv1.Hello) (*lane.Lane, *raw) {
	t.Helper()
	a, b := net.Pipe()
	r := &raw{t, a, lane.Local(a, 0)}
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		r.send(helloFrame(hello))
		if _, err := r.carrier.Read(); err != nil {
			t.Errorf("hello: %v", err)
		}
	}()
	l, err := lane.Accept(t.Context(), lane.Local(b, 0), cfg)
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	<-greeted
	running(t, l, r)
	return l, r
}

func running(t *testing.T, l *lane.Lane, r *raw) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Run(ctx) // its error is the lane's
	}()
	t.Cleanup(func() {
		cancel()
		_ = r.conn.Close()
		<-ended
	})
}

func (r *raw) send(frames ...*snakepitv1.Frame) {
	r.Helper()
	if err := r.carrier.Write(frames); err != nil {
		r.Errorf("write: %v", err)
	}
}

// next reads a frame.
func (r *raw) next() *snakepitv1.Frame {
	r.Helper()
	f, err := r.carrier.Read()
	if err != nil {
		r.Fatalf("read: %v", err)
	}
	return f
}

// end reads a call's end.
func (r *raw) end(id uint64) *snakepitv1.End {
	r.Helper()
	f := r.next()
	if f.GetCallId() != id || f.GetEnd() == nil {
		r.Fatalf("instead of the end of call %d: %v", id, f)
	}
	return f.GetEnd()
}

func helloFrame(h *snakepitv1.Hello) *snakepitv1.Frame {
	return &snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: h}}
}

func callFrame(id uint64, tool string) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{Tool: tool}}}
}

func dataFrame(id uint64, n int) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Data{Data: &snakepitv1.Data{Payload: make([]byte, n)}}}
}

func endFrame(id uint64, n int) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_End{End: &snakepitv1.End{Payload: make([]byte, n)}}}
}

func more(f *snakepitv1.Frame) *snakepitv1.Frame {
	f.More = true
	return f
}

func halfClose(id uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_HalfClose{HalfClose: &snakepitv1.HalfClose{}}}
}

func cancelFrame(id uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Cancel{Cancel: &snakepitv1.Cancel{Reason: "cancelled"}}}
}

func creditFrame(id, n uint64) *snakepitv1.Frame {
	return &snakepitv1.Frame{CallId: id, Kind: &snakepitv1.Frame_Credit{Credit: &snakepitv1.Credit{Bytes: n}}}
}

func pingFrame() *snakepitv1.Frame {
	return &snakepitv1.Frame{Kind: &snakepitv1.Frame_Ping{Ping: &snakepitv1.Ping{Nonce: 1}}}
}

func wantReason(t *testing.T, err error, want errdefs.Reason) {
	t.Helper()
	if got := errdefs.ReasonOf(err); got != want {
		t.Errorf("the reason is %q, not %s: %v", got, want, err)
	}
}
