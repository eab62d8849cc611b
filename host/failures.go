package host

import (
	"sync/atomic"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// failures counts errors by reason, without a lock. A reason that isn't ours, which
// a worker may have made up, is counted as internal: the table can't grow.
type failures struct {
	counts map[errdefs.Reason]*atomic.Uint64 // an entry for each reason there is; never changed
}

func newFailures() failures {
	f := failures{counts: map[errdefs.Reason]*atomic.Uint64{}}
	for _, r := range errdefs.Reasons() {
		f.counts[r] = new(atomic.Uint64)
	}
	return f
}

func (f *failures) add(r errdefs.Reason) {
	n := f.counts[r]
	if n == nil {
		n = f.counts[errdefs.Internal]
	}
	n.Add(1)
}

// byReason gives the reasons that there have been.
func (f *failures) byReason() map[errdefs.Reason]uint64 {
	m := map[errdefs.Reason]uint64{}
	for r, n := range f.counts {
		if n := n.Load(); n > 0 {
			m[r] = n
		}
	}
	return m
}
