package shim

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// lease is a timer on the clock that goes on while the machine sleeps. A host that
// hangs, is dead or cut off can't set it again.
type lease struct {
	fd       int
	deadline int64 // nanoseconds of CLOCK_BOOTTIME; zero: none
}

// newLease makes a timer that isn't set; passed is called on a goroutine of its own.
func newLease(passed func()) (*lease, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "lease")
	go func() {
		expirations := make([]byte, 8)
		for {
			if _, err := f.Read(expirations); err != nil {
				return
			}
			passed()
		}
	}()
	return &lease{fd: fd}, nil
}

func (l *lease) set(deadline int64) error {
	l.deadline = deadline
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(deadline)} // zero disarms; the past fires at once
	return unix.TimerfdSettime(l.fd, unix.TFD_TIMER_ABSTIME, &at, nil)
}

// over reports whether the deadline has passed: a timer may have been set anew
// after it fired.
func (l *lease) over() bool { return l.deadline != 0 && Boottime() >= l.deadline }

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
		s.leaseEnded() // better frozen than wrong
		return
	}
	if s.lease.over() {
		return // the timer fires
	}
	for _, c := range s.workers {
		if c.frozen {
			c.thaw()
		}
		c.mark.open()
	}
}

// leaseEnded closes every worker to marked calls and freezes those that have one.
// Marks are read twice: a host that saw the worker still open has set its mark by then.
func (s *shim) leaseEnded() {
	if !s.lease.over() {
		return
	}
	for _, c := range s.workers {
		if c.mark.close() {
			c.freeze()
		}
	}
	for _, c := range s.workers {
		if c.mark.marked() {
			c.freeze()
		}
	}
}

// freeze stops the worker with all that descends from it, and gives it StopAfter
// before it's killed.
func (c *child) freeze() {
	if c.frozen || c.exit != nil {
		return
	}
	if c.shim.settings.StopAfter <= 0 {
		c.kill()
		return
	}
	c.frozen = true
	c.asGroup = c.cgroup != nil && c.cgroup.freeze(true) == nil
	if !c.asGroup {
		c.stopTree()
	}
	c.stopAfter = time.AfterFunc(c.shim.settings.StopAfter, func() {
		c.shim.posts <- func() {
			if c.frozen {
				c.kill()
			}
		}
	})
	c.shim.send(&event{Event: eventFrozen, Worker: c.id})
}

// stopTree sends SIGSTOP to the worker, then to its descendants, until a look finds
// nobody new.
func (c *child) stopTree() {
	_ = unix.Kill(c.pid, unix.SIGSTOP) // our unreaped child
	const rounds = 64
	for range rounds {
		again := false
		for _, p := range c.descendants() {
			if !p.Stopped() && !p.Dead() {
				again = proc.Signal(p.ID, unix.SIGSTOP) || again
			}
		}
		if !again {
			return
		}
	}
}

// thaw lets the worker and its descendants go on, and tells the host.
func (c *child) thaw() {
	if c.asGroup {
		if err := c.cgroup.freeze(false); err != nil {
			_ = complain(fmt.Errorf("thaw %s: %w", c.id, err))
		}
	} else {
		c.continueTree()
	}
	c.thawed()
	c.shim.send(&event{Event: eventThawed, Worker: c.id})
}

func (c *child) continueTree() {
	for _, p := range c.descendants() {
		proc.Signal(p.ID, unix.SIGCONT)
	}
	_ = unix.Kill(c.pid, unix.SIGCONT) // our unreaped child
}

// thawed forgets that the worker was frozen.
func (c *child) thawed() {
	c.frozen = false
	if c.stopAfter != nil {
		c.stopAfter.Stop()
		c.stopAfter = nil
	}
}
