package ledger_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/ledger"
)

// BenchmarkIntend is what the ledger adds to a start: alone, and with others.
func BenchmarkIntend(b *testing.B) {
	for _, callers := range []int{1, 20} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			l := open(b, newPath(b))
			var done atomic.Int64
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() { intendUntil(b, l, &done) })
			}
			wg.Wait()
			b.ReportMetric(b.Elapsed().Seconds()*1e6*float64(callers)/float64(b.N), "µs/caller")
		})
	}
}

func intendUntil(b *testing.B, l *ledger.Ledger, done *atomic.Int64) {
	b.Helper()
	for n := done.Add(1); n <= int64(b.N); n = done.Add(1) {
		if err := l.Intend(intent(strconv.FormatInt(n, 10))); err != nil {
			b.Error(err)
			return
		}
	}
}
