package host

import "sync/atomic"

// RecycleCause is why a worker was replaced although nothing was wrong with it. The
// list is closed.
type RecycleCause string

// The causes.
const (
	RecycleAge    RecycleCause = "age"
	RecycleCalls  RecycleCause = "calls"
	RecycleMemory RecycleCause = "memory"
	RecycleReload RecycleCause = "reload"
)

// recycled counts workers by why they were replaced.
type recycled struct{ age, calls, memory, reload atomic.Uint64 }

func (r *recycled) of(c RecycleCause) *atomic.Uint64 {
	switch c {
	case RecycleAge:
		return &r.age
	case RecycleCalls:
		return &r.calls
	case RecycleMemory:
		return &r.memory
	case RecycleReload:
		return &r.reload
	}
	return nil
}

func (r *recycled) add(c RecycleCause) {
	if n := r.of(c); n != nil {
		n.Add(1)
	}
}

// byCause gives the causes that there have been.
func (r *recycled) byCause() map[RecycleCause]uint64 {
	m := map[RecycleCause]uint64{}
	for _, c := range []RecycleCause{RecycleAge, RecycleCalls, RecycleMemory, RecycleReload} {
		if n := r.of(c).Load(); n > 0 {
			m[c] = n
		}
	}
	return m
}
