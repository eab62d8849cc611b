package shim

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// handle is a descriptor that is closed when the last of its users lets go: it may
// still wait to be sent to the host when its worker is reaped, and its number must
// not be another file's by then.
type handle struct {
	fd    int
	users atomic.Int32
}

// newHandle makes one with one user.
func newHandle(fd int) *handle {
	h := &handle{fd: fd}
	h.users.Store(1)
	return h
}

func (h *handle) keep() { h.users.Add(1) }

func (h *handle) drop() {
	if h.users.Add(-1) == 0 {
		_ = unix.Close(h.fd) // nothing was written
	}
}
