package host

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram is how long things took, as it was at one moment.
type Histogram struct {
	Buckets []Bucket      // those that aren't empty, the shortest times first
	Sum     time.Duration // of all times
	Max     time.Duration // the longest; of a difference, an upper bound of it
}

// Bucket counts the times between two bounds.
type Bucket struct {
	From, Below time.Duration
	Count       uint64
}

// Count is how many times were taken.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, b := range h.Buckets {
		n += b.Count
	}
	return n
}

// Mean is the average; zero of none.
func (h Histogram) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return h.Sum / time.Duration(n) //nolint:gosec // a count of things that took time
}

// Quantile is the time that the part q of all didn't exceed, 0.99 for p99; zero of
// none. It's off by at most an eighth: a bucket is that wide.
func (h Histogram) Quantile(q float64) time.Duration {
	n := h.Count()
	rank := min(max(q, 0)*float64(n), float64(n))
	var before float64
	for _, b := range h.Buckets {
		if in := float64(b.Count); before+in >= rank {
			width := float64(b.Below - b.From)
			return min(b.From+time.Duration(width*(rank-before)/in), h.Max)
		}
		before += float64(b.Count)
	}
	return h.Max
}

// Since is what came to a histogram after an earlier state of it.
func (h Histogram) Since(earlier Histogram) Histogram {
	d := Histogram{Sum: max(h.Sum-earlier.Sum, 0)}
	old := earlier.Buckets
	for _, b := range h.Buckets {
		for len(old) > 0 && old[0].From < b.From {
			old = old[1:]
		}
		if len(old) > 0 && old[0].From == b.From {
			b.Count -= min(old[0].Count, b.Count)
		}
		if b.Count > 0 {
			d.Buckets = append(d.Buckets, b)
			d.Max = min(b.Below, h.Max)
		}
	}
	return d
}

// The buckets: one a microsecond up to eight, then eight for each doubling, up to
// 2^32 µs, which is 71 minutes. What takes longer is in the last one.
const (
	subBits     = 3
	subBuckets  = 1 << subBits
	longestBits = 32
	buckets     = subBuckets * (longestBits - subBits + 1)
)

// histogram takes times, from any number of goroutines, without a lock. It's 2 KiB.
type histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
	max    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
	for {
		most := h.max.Load()
		if int64(d) <= most || h.max.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

func bucketOf(d time.Duration) int {
	us := uint64(d / time.Microsecond) //nolint:gosec // not negative
	if us < subBuckets {
		return int(us)
	}
	double := bits.Len64(us) - 1 - subBits
	return min(double*subBuckets+int(us>>double), buckets-1) //nolint:gosec // less than 2 subBuckets
}

// bounds is the inverse of bucketOf.
func bounds(bucket int) (from, below time.Duration) {
	double := max(bucket/subBuckets-1, 0)
	first := time.Duration(bucket-double*subBuckets) << double
	return first * time.Microsecond, (first + 1<<double) * time.Microsecond
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			from, below := bounds(i)
			s.Buckets = append(s.Buckets, Bucket{From: from, Below: below, Count: n})
		}
	}
	s.Max = time.Duration(h.max.Load())
	return s
}
