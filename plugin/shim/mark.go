package shim

import "sync/atomic"

// Mark is one worker's pair of words in the page that host and shim share. The
// host marks a worker while it runs a session's call, or is pinned by a session; the
// shim closes it when the lease has ended, and then freezes whoever is marked. All
// accesses are sequentially consistent, so one of the two always sees the other.
type Mark struct {
	mark, closed *atomic.Uint32
	page         any // keeps the memory mapped
}

// Enter marks the worker, and reports whether the call may go to it: false says
// that the lease has ended. Each true needs a Leave.
func (m Mark) Enter() bool {
	m.mark.Add(1)
	if m.closed.Load() == 0 {
		return true
	}
	m.Leave()
	return false
}

// Leave takes back one Enter.
func (m Mark) Leave() { m.mark.Add(^uint32(0)) }

// close shuts the worker to further calls, and reports whether it's marked: then
// it must be frozen.
func (m Mark) close() bool {
	m.closed.Store(1)
	return m.mark.Load() > 0
}

func (m Mark) marked() bool { return m.mark.Load() > 0 }

func (m Mark) open() { m.closed.Store(0) }

func (m Mark) forget() { m.mark.Store(0) }

func (m Mark) reset() {
	m.forget()
	m.open()
}
