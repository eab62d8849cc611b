package proc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Gone reports whether a process has verifiably ended: nobody has its pid, or somebody
// else, or it only waits to be reaped. Of one that we're not allowed to look at it's unknown,
// which counts as not.
func Gone(id ID) bool {
	if id.PID <= 0 {
		return false
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	now, err := Read(id.PID)
	if err == nil {
		return now.ID != id || now.Dead()
	}
	return ended(fd) // or it's hidden from us
}

func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}} //nolint:gosec // a descriptor is small
	n, _ := unix.Poll(fds, 0)                                     // an error: unknown
	return n > 0
}
