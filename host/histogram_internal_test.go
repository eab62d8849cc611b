package host

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsFollowEachOtherWithoutAGap(t *testing.T) {
	t.Parallel()
	var end time.Duration
	for i := range buckets {
		from, below := bounds(i)
		if from != end || below <= from {
			t.Fatalf("bucket %d is %s to %s, after %s", i, from, below, end)
		}
		if bucketOf(from) != i || bucketOf(below-1) != i {
			t.Fatalf("bucket %d, %s to %s, takes neither end", i, from, below)
		}
		end = below
	}
	if end < time.Hour {
		t.Errorf("the last bucket ends at %s", end)
	}
	if last := bucketOf(math.MaxInt64); last != buckets-1 {
		t.Errorf("the longest time is in bucket %d", last)
	}
}

func TestQuantilesAreNearTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, int64(2*time.Hour)), 1, 200).Draw(t, "times")
		var h histogram
		var sum time.Duration
		for _, d := range times {
			h.observe(time.Duration(d))
			sum += time.Duration(d)
		}
		slices.Sort(times)
		s := h.snapshot()
		if s.Count() != uint64(len(times)) || s.Max != time.Duration(times[len(times)-1]) || s.Sum != sum {
			t.Fatalf("%+v of %v", s, times)
		}
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := times[max(int(math.Ceil(q*float64(len(times))))-1, 0)]
		got, width := float64(s.Quantile(q)), max(float64(exact)/subBuckets, float64(time.Microsecond))
		if exact < int64(time.Hour) && math.Abs(got-float64(exact)) > width {
			t.Fatalf("quantile %g is %s, want %s", q, time.Duration(got), time.Duration(exact))
		}
	})
}

func TestDifferenceOfHistogramsIsWhatCameBetween(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOf(rapid.Int64Range(0, int64(time.Minute)))
		var both, later histogram
		for _, d := range times.Draw(t, "before") {
			both.observe(time.Duration(d))
		}
		before := both.snapshot()
		for _, d := range times.Draw(t, "after") {
			both.observe(time.Duration(d))
			later.observe(time.Duration(d))
		}
		got, want := both.snapshot().Since(before), later.snapshot()
		if !slices.Equal(got.Buckets, want.Buckets) || got.Sum != want.Sum || got.Max < want.Max {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

func TestNothingIsLostWhenManyCount(t *testing.T) {
	t.Parallel()
	var h histogram
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 1000 {
				h.observe(time.Duration(i*1000+j) * time.Microsecond)
			}
		})
	}
	wg.Wait()
	if s := h.snapshot(); s.Count() != 8000 || s.Max != 7999*time.Microsecond || s.Sum != 8000*7999/2*time.Microsecond {
		t.Errorf("%+v", s)
	}
}

func TestEmptyHistogramHasNoQuantiles(t *testing.T) {
	t.Parallel()
	var h histogram
	if s := h.snapshot(); s.Quantile(0.99) != 0 || s.Mean() != 0 || s.Count() != 0 {
		t.Errorf("%+v", s)
	}
}
