package cluster_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
)

// BenchmarkOpenSession opens sessions on one node, each acknowledged from disk.
func BenchmarkOpenSession(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			n, err := cluster.Open(b.Context(), cluster.Config{Dir: b.TempDir(), MaxSessions: 1_000_000})
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			latencies := make([]time.Duration, b.N)
			var next atomic.Int64
			var group sync.WaitGroup
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						began := time.Now()
						if _, err := n.OpenSession(b.Context(), session(fmt.Sprint("s", i))); err != nil {
							b.Error(err)
							return
						}
						latencies[i] = time.Since(began)
					}
				})
			}
			group.Wait()
			b.StopTimer()
			slices.Sort(latencies)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "opens/s")
			b.ReportMetric(float64(latencies[b.N/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(latencies[b.N*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkSession reads one of 10,000 sessions.
func BenchmarkSession(b *testing.B) {
	n, err := cluster.Open(b.Context(), cluster.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	fill(b, n, 10_000)
	for b.Loop() {
		if _, err := n.Session(b.Context(), "s77"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart opens a registry again; the close between isn't counted.
func BenchmarkStart(b *testing.B) {
	for _, sessions := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			cfg := cluster.Config{Dir: b.TempDir()}
			n, err := cluster.Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			fill(b, n, sessions)
			for b.Loop() {
				b.StopTimer()
				if err := n.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if n, err = cluster.Open(b.Context(), cfg); err != nil {
					b.Fatal(err)
				}
			}
			if err := n.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func fill(b *testing.B, n *cluster.Node, sessions int) {
	b.Helper()
	var group sync.WaitGroup
	for w := range 50 {
		group.Go(func() {
			for i := w; i < sessions; i += 50 {
				if _, err := n.OpenSession(b.Context(), host.Session{ID: host.SessionID(fmt.Sprint("s", i)), Pool: "ml"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
}
