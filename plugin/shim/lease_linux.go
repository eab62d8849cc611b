package shim

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lease is a timer on the clock that goes on while the machine sleeps. A host that
// hangs, is dead or cut off can't set it again.
type lease struct {
	timer    *os.File
	deadline int64 // nanoseconds of CLOCK_BOOTTIME; zero: none
}

func newLease() (*lease, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	return &lease{timer: os.NewFile(uintptr(fd), "lease")}, nil
}

// watch calls passed each time that the deadline has.
func (l *lease) watch(passed func()) {
	expirations := make([]byte, 8)
	for {
		if _, err := l.timer.Read(expirations); err != nil {
			return
		}
		passed()
	}
}

func (l *lease) set(deadline int64) error {
	if deadline < 0 {
		deadline = 1 // long ago
	}
	l.deadline = deadline
	raw, err := l.timer.SyscallConn()
	if err != nil {
		return err
	}
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(deadline)} // zero disarms; the past fires at once
	var setErr error
	if err := raw.Control(func(fd uintptr) {
		setErr = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &at, nil)
	}); err != nil {
		return err
	}
	return setErr
}

// over reports whether the deadline has passed: a timer may have been set anew
// after it fired.
func (l *lease) over() bool { return over(l.deadline) }

func over(deadline int64) bool { return deadline != 0 && Boottime() >= deadline }

// Boottime is now, in nanoseconds of CLOCK_BOOTTIME.
func Boottime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it can't fail: the clock exists
	return ts.Nano()
}

// setLease takes the host's new deadline. One in the future opens what the end of
// the last one closed.
func (s *shim) setLease(deadline int64) {
	if err := s.lease.set(deadline); err != nil {
		_ = complain(fmt.Errorf("set the lease: %w", err))
		s.lease.deadline = 1 // better frozen than wrong
	}
	if s.lease.over() {
		s.leaseEnded()
		return
	}
	for _, c := range s.workers {
		if c.frozen {
			c.thaw()
		}
		c.mark.open()
	}
}

// setMark lets calls to a worker that is new, unless the lease has ended.
func (s *shim) setMark(c *child) {
	if s.lease.over() {
		c.mark.close()
	} else {
		c.mark.open()
	}
}

// leaseEnded closes every worker to marked calls and freezes those that have one.
// Marks are read twice: a host that saw the worker still open has set its mark by
// the first time; who sets it later is refused, and at worst frozen for nothing.
func (s *shim) leaseEnded() {
	if !s.lease.over() {
		return
	}
	for _, c := range s.workers {
		c.mark.close()
	}
	s.freeze(s.marked())
	s.freeze(s.marked())
}

// marked are the workers with a marked call that aren't frozen yet.
func (s *shim) marked() []*child {
	var out []*child
	for _, c := range s.workers {
		if c.mark.marked() && !c.frozen && c.exit == nil {
			out = append(out, c)
		}
	}
	return out
}
