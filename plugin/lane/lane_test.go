package lane_test

import (
	"context"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
)

func pair(tb testing.TB, a, b lane.Carrier, host, worker lane.Config) (*lane.Lane, *lane.Lane) {
	tb.Helper()
	ctx := tb.Context()
	accepted := make(chan *lane.Lane, 1)
	go func() {
		w, err := lane.Accept(ctx, b, worker)
		if err != nil {
			tb.Errorf("accept: %v", err)
		}
		accepted <- w
	}()
	h, err := lane.Dial(ctx, a, host)
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	return h, <-accepted
}

func TestSmallCallIsAnswered(t *testing.T) {
	a, b := net.Pipe()
	echo := func(_ context.Context, in *lane.Inbound) { in.End(in.Request().Payload, nil) }
	h, w := pair(t, lane.Local(a, 0), lane.Local(b, 0), lane.Config{}, lane.Config{Serve: echo})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = h.Run(ctx) }()
	go func() { _ = w.Run(ctx) }()
	defer cancel()
	c, err := h.Open(ctx, lane.Request{Tool: "echo", Payload: []byte("hi")})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv(ctx)
	if d := cmp.Diff(lane.Message{Payload: []byte("hi"), Last: true}, m); d != "" || err != nil {
		t.Fatalf("recv: %v\n%s", err, d)
	}
	<-c.Done()
}
