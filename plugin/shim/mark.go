package shim

import "sync/atomic"

// Mark is one worker's pair of words in the page that host and shim share. The
// host marks a worker while it runs a session's call, or is pinned by a session; the
// shim closes it when the lease has ended, and then freezes whoever is marked. All
// accesses are sequentially consistent, so one of the two always sees the other.
//
// Only the host writes the mark, and only by adding and taking away, so a Leave that
// comes after its worker's end, when the words may be another's, changes nothing.
type Mark struct {
	mark, closed *atomic.Uint32
	page         any // keeps the memory mapped
}

// Enter marks the worker, and reports whether the call may go to it: false says
// that the lease has ended. Each true needs a Leave.
func (m Mark) Enter() bool {
	m.announce()
	if m.isOpen() {
		return true
	}
	m.Leave()
	return false
}

// Leave takes back one Enter.
func (m Mark) Leave() { m.mark.Add(^uint32(0)) }

// announce is the first step of Enter. From here on the shim sees the call.
func (m Mark) announce() { m.mark.Add(1) }

// isOpen is the second step of Enter.
func (m Mark) isOpen() bool { return m.closed.Load() == 0 }

// close shuts the worker to further calls.
func (m Mark) close() { m.closed.Store(1) }

// marked reports whether the worker must be frozen, once it's closed.
func (m Mark) marked() bool { return m.mark.Load() > 0 }

func (m Mark) open() { m.closed.Store(0) }
