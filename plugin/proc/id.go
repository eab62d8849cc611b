package proc

import "errors"

// ID names one process. Pids are used again; with the start time they are not.
type ID struct {
	PID   int
	Start uint64 // clock ticks since boot, field 22 of /proc/PID/stat
}

// Stat is one line of the process table.
type Stat struct {
	ID

	PPID, PGID, Session int
	State               byte // R, S, D, T, t, Z, X, …; its first thread's
	Threads             int
}

// Dead reports whether the process only waits to be reaped. One whose first thread
// has ended while others run looks like that, and is alive.
func (s Stat) Dead() bool { return (s.State == 'Z' || s.State == 'X') && s.Threads <= 1 }

// Stopped reports whether a signal has stopped it.
func (s Stat) Stopped() bool { return s.State == 'T' }

// ErrGone says that the process isn't there any more, or that its pid is another's by now.
var ErrGone = errors.New("the process is gone")
