package shim

import (
	"errors"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// reap deals with every child that has ended or was stopped. A worker's group is
// swept while its leader isn't reaped: until then the group's number is its own.
func (s *shim) reap() {
	for {
		pid, _ := waitID(unix.WEXITED | unix.WNOWAIT)
		if pid == 0 {
			break
		}
		if c := s.byPID[pid]; c != nil {
			c.died()
			continue
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // a stray: nobody asks
	}
	for {
		pid, stopped := waitID(unix.WSTOPPED | unix.WCONTINUED)
		if pid == 0 {
			return
		}
		if c := s.byPID[pid]; c != nil {
			c.noteStop(stopped)
		}
	}
}

// childInfo is how siginfo_t begins for SIGCHLD.
type childInfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0))/4 - 1]int32 // the union behind is aligned to a word
	pid                int32
}

const (
	cldStopped = 5 // CLD_STOPPED; 6 is CLD_CONTINUED
)

// waitID looks, without waiting, for a child in one of the states; zero: none.
func waitID(options int) (pid int, stopped bool) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, options|unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, false
		}
		c := (*childInfo)(unsafe.Pointer(&info)) //nolint:gosec // its first fields, as the kernel lays them out
		return int(c.pid), c.code == cldStopped
	}
}

// died ends what is left of a worker whose leader has ended, and reaps the leader.
func (c *child) died() {
	left := c.sweep()
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	delete(c.shim.byPID, c.pid)
	c.exit = &event{
		Event: eventExit, Worker: c.id, Status: uint32(status), Left: left,
		OOM: c.shim.oom.look() && status.Signaled() && status.Signal() == unix.SIGKILL,
	}
	c.thawed()
	c.hurry()
	c.finishIfDone()
}

// sweep kills what a dead worker left behind, and says how many that were.
func (c *child) sweep() int {
	c.cgroup.kill()
	_ = unix.Kill(-c.pid, unix.SIGKILL) // the leader isn't reaped; the group may be empty
	seen := map[proc.ID]bool{}
	const rounds = 64 // each finds what the last one's victims forked meanwhile
	for range rounds {
		again := false
		for _, p := range c.descendants() {
			if p.Dead() {
				continue
			}
			again = again || !seen[p.ID]
			seen[p.ID] = true
			proc.Kill(p.ID)
		}
		if !again {
			break
		}
	}
	return len(seen)
}

// finishIfDone says that the worker has ended, once its process is reaped and all
// that it printed was passed on.
func (c *child) finishIfDone() {
	if c.exit == nil || c.reading > 0 {
		return
	}
	s := c.shim
	delete(s.workers, c.id)
	s.slots = append(s.slots, c.slot)
	_ = unix.Close(c.pidfd) // nothing was written
	c.cgroup.remove()
	s.send(c.exit)
}

// noteStop tells the host that somebody else stopped the worker, or let it go on.
func (c *child) noteStop(stopped bool) {
	if c.frozen || c.stopped == stopped {
		return
	}
	c.stopped = stopped
	name := eventContinued
	if stopped {
		name = eventStopped
	}
	c.shim.send(&event{Event: name, Worker: c.id})
}

// oomWatch tells whether the system has killed for memory.
type oomWatch struct{ kills string }

// look reports whether it has since the last look.
func (o *oomWatch) look() bool {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return false
	}
	_, after, ok := strings.Cut(string(b), "\noom_kill ")
	if !ok {
		return false
	}
	now, _, _ := strings.Cut(after, "\n")
	changed := o.kills != "" && now != o.kills
	o.kills = now
	return changed
}
