package host

import (
	"maps"
	"slices"
	"sync"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// failures counts errors by reason. A reason that isn't ours, which a worker may
// have made up, is counted as internal: the table can't grow.
type failures struct {
	mu     sync.Mutex
	counts map[errdefs.Reason]uint64
}

func (f *failures) add(r errdefs.Reason) {
	if !slices.Contains(errdefs.Reasons(), r) {
		r = errdefs.Internal
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[errdefs.Reason]uint64{}
	}
	f.counts[r]++
}

func (f *failures) byReason() map[errdefs.Reason]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}
