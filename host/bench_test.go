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

// BenchmarkCallAmongNodes is what a call costs more when there are other nodes, and it's
// this one's: nothing but the look at its session's owner.
func BenchmarkCallAmongNodes(b *testing.B) {
	for name, session := range map[string]host.SessionID{"plain": "", "session": "s"} {
		b.Run(name, func(b *testing.B) {
			n := hosttest.NewCluster().Add("n1")
			h := running(b, 2, func(c *host.Config) { c.Node, c.Registry, c.Peers = "n1", n, n.Peers() })
			b.ReportAllocs()
			for b.Loop() {
				runOne(b.Context(), b, h, host.Request{Tool: "echo", Session: session})
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

func running(b *testing.B, size int, change ...func(*host.Config)) *host.Host {
	b.Helper()
	cfg := host.Config{
		Launcher: &hosttest.Launcher{Tools: tools()},
		Pools:    []host.PoolConfig{{Command: host.Command{Path: "fake"}, Size: size}},
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := host.New(cfg)
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
