package host_test

import (
	"context"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

// BenchmarkCall is what the engine, and the fake worker, cost a call.
func BenchmarkCall(b *testing.B) {
	for name, session := range map[string]host.SessionID{"plain": "", "session": "s"} {
		b.Run(name, func(b *testing.B) {
			h := running(b, 2)
			ctx := b.Context()
			req := host.Request{Tool: "echo", Session: session}
			b.ReportAllocs()
			for b.Loop() {
				runOne(ctx, b, h, req)
			}
		})
	}
}

// BenchmarkQueue has 64 callers for 2 workers: almost every call waits.
func BenchmarkQueue(b *testing.B) {
	h := running(b, 2)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			runOne(b.Context(), b, h, host.Request{Tool: "echo"})
		}
	})
}

// BenchmarkDispatch shows that a checkout costs the same in a large pool.
func BenchmarkDispatch(b *testing.B) {
	for name, size := range map[string]int{"10workers": 10, "10000workers": 10_000} {
		b.Run(name, func(b *testing.B) {
			h := running(b, size)
			b.ReportAllocs()
			for b.Loop() {
				runOne(b.Context(), b, h, host.Request{Tool: "echo"})
			}
		})
	}
}

func runOne(ctx context.Context, b *testing.B, h *host.Host, req host.Request) {
	b.Helper()
	c, err := h.Open(ctx, req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Recv(ctx); err != nil {
		b.Fatal(err)
	}
}

func running(b *testing.B, size int) *host.Host {
	b.Helper()
	h, err := host.New(host.Config{
		Launcher: &hosttest.Launcher{Tools: tools()},
		Pools:    []host.PoolConfig{{Command: host.Command{Path: "fake"}, Size: size}},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-ended })
	if err := h.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	return h
}
