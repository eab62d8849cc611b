package lane_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/lane"
)

// unixPair is a connected pair of real sockets.
func unixPair(tb testing.TB) (net.Conn, net.Conn) {
	tb.Helper()
	at := filepath.Join(tb.TempDir(), "s")
	var lc net.ListenConfig
	lis, err := lc.Listen(tb.Context(), "unix", at)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	var d net.Dialer
	a, err := d.DialContext(tb.Context(), "unix", at)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := lis.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	return a, b
}

// echoPair is a host's lane to a worker that gives back what it gets.
func echoPair(tb testing.TB) *lane.Lane {
	tb.Helper()
	a, b := unixPair(tb)
	echo := func(_ context.Context, in *lane.Inbound) { in.End(in.Request().Payload, nil) }
	h, w := pair(tb, lane.Local(a, 0), lane.Local(b, 0), lane.Config{}, lane.Config{Serve: echo})
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	running.Go(func() { _ = w.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return h
}

// BenchmarkEchoLocal is a call of 100 bytes to a Go worker over a Unix socket, both
// sides in this process.
func BenchmarkEchoLocal(b *testing.B) {
	b.Run("callers=1", func(b *testing.B) { benchmarkEcho(b, 1) })
	b.Run("callers=64", func(b *testing.B) { benchmarkEcho(b, 64) })
}

func benchmarkEcho(b *testing.B, callers int) {
	b.Helper()
	l := echoPair(b)
	payload := make([]byte, 100)
	ctx := b.Context()
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	b.ReportAllocs()
	b.ResetTimer()
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for range work {
				c, err := l.Open(ctx, lane.Request{Tool: "echo", Payload: payload})
				if err != nil {
					b.Errorf("open: %v", err)
					return
				}
				if _, err := c.Recv(ctx); err != nil {
					b.Errorf("recv: %v", err)
					return
				}
			}
		})
	}
	calling.Wait()
}
