package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_BOOTTIME, which a lease's shim looks at too.
type bootClock struct{}

// Now implements [Clock].
func (bootClock) Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return Forever // no lease is valid then
	}
	return time.Duration(t.Nano())
}

func newClock() Clock { return bootClock{} }
