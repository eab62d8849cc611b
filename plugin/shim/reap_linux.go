package shim

import (
	"errors"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// reap deals with every child that has ended or was stopped.
func (s *shim) reap() {
	for {
		pid, _ := waitID(unix.P_ALL, 0, unix.WEXITED|unix.WNOWAIT)
		switch {
		case pid == 0:
			s.noteStops()
			return
		case s.byPID[pid] == nil:
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // a stray: nobody asks
		default:
			s.bury(s.ended())
		}
	}
}

func (s *shim) noteStops() {
	for {
		pid, stopped := waitID(unix.P_ALL, 0, unix.WSTOPPED|unix.WCONTINUED)
		if pid == 0 {
			return
		}
		if c := s.byPID[pid]; c != nil {
			c.moved(stopped)
		}
	}
}

// ended are the workers whose leaders have, every thread of them.
func (s *shim) ended() []*child {
	var out []*child
	for pid, c := range s.byPID {
		if got, _ := waitID(unix.P_PID, pid, unix.WEXITED|unix.WNOWAIT); got == pid {
			out = append(out, c)
		}
	}
	return out
}

// waited is how siginfo_t begins for SIGCHLD.
type waited struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0))/4 - 1]int32 // the union behind is aligned to a word
	pid                int32
}

const cldStopped = 5 // CLD_STOPPED; 6 is CLD_CONTINUED

// waitID looks, without waiting, for a child in one of the states; zero: none.
func waitID(which, id, options int) (pid int, stopped bool) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(which, id, &info, options|unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, false
		}
		w := (*waited)(unsafe.Pointer(&info)) //nolint:gosec // its first fields, as the kernel lays them out
		return int(w.pid), w.code == cldStopped
	}
}

// bury ends what is left of workers whose leaders have ended, and reaps these. A
// group is swept while its leader isn't reaped: until then its number is its own.
func (s *shim) bury(dead []*child) {
	oom := s.oom.look()
	for _, c := range dead {
		c.cgroup.kill()
		_ = unix.Kill(-c.pid, unix.SIGKILL) // the group may be empty
	}
	left := s.sweep(dead)
	for _, c := range dead {
		c.died(left[c], oom)
	}
}

// sweepTime is how long the shim waits for the end of those that it killed, so that
// the word of a worker's end comes after theirs.
const sweepTime = 50 * time.Millisecond

// sweep kills what dead workers left behind, and says how many that were.
func (s *shim) sweep(dead []*child) map[*child]int {
	left := map[*child]int{}
	seen := map[proc.ID]bool{}
	begun := time.Now()
	// A worker that forks faster than it's killed must not hold up the others for ever.
	for again := true; again && time.Since(begun) < 10*sweepTime; {
		t, err := s.look()
		if err != nil {
			_ = complain(err)
			return left
		}
		again = false
		for _, c := range dead {
			found, dying := t.killOf(c, seen)
			left[c] += found
			// Whoever is new may have forked meanwhile.
			again = again || found > 0 || dying && time.Since(begun) < sweepTime
		}
	}
	return left
}

// killOf kills whoever of a worker's is alive. It says how many of them it hadn't
// seen, and whether others are still about to end.
func (t *table) killOf(c *child, seen map[proc.ID]bool) (found int, dying bool) {
	for _, p := range t.of(c) {
		switch {
		case p.Dead():
			continue
		case !seen[p.ID]:
			seen[p.ID] = true
			found++
		case p.State != 'D':
			dying = true
		}
		proc.Kill(p.ID)
	}
	return found, dying
}

// died reaps the leader of a worker of which nothing else is left.
func (c *child) died(left int, oom bool) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	delete(c.shim.byPID, c.pid)
	c.exit = newExit(c, status, left, oom)
	c.thawed()
	c.hurry()
	c.finishIfDone()
}

func newExit(c *child, status unix.WaitStatus, left int, oom bool) *event {
	e := &event{Event: eventExit, Worker: c.id, Status: uint32(status), Left: left}
	if c.killed || !status.Signaled() || status.Signal() != unix.SIGKILL {
		return e
	}
	if e.OOM = oom; c.cgroup.overMemory() {
		e.Over = LimitMemory
	}
	return e
}

// hurry gives whoever still holds a dead worker's pipes a last moment. After it the
// end is told in any case: a log on a disk that hangs isn't waited for.
func (c *child) hurry() {
	if c.reading == 0 {
		return
	}
	deadline := time.Now().Add(drainTime)
	for _, pipe := range c.pipes {
		_ = pipe.SetReadDeadline(deadline) // it may have ended, and be closed
	}
	time.AfterFunc(diskTime, func() { c.shim.posts <- c.finish })
}

func (c *child) pipeEnded() {
	c.reading--
	c.finishIfDone()
}

func (c *child) finishIfDone() {
	if c.exit != nil && c.reading == 0 {
		c.finish()
	}
}

// finish says that the worker has ended, once its process is reaped and all that
// it printed was passed on.
func (c *child) finish() {
	s := c.shim
	if s.workers[c.id] != c {
		return // it's done already
	}
	delete(s.workers, c.id)
	s.slots = append(s.slots, c.slot)
	c.pidfd.drop()
	c.cgroup.remove()
	c.door.close()
	s.send(c.exit)
}

// oomWatch tells whether the system has killed for memory.
type oomWatch struct{ kills string }

// look reports whether it has since the last look.
func (o *oomWatch) look() bool {
	b, err := os.ReadFile("/proc/vmstat")
	return err == nil && o.compare(string(b))
}

// compare reads how often it has, and reports whether that is more than before.
func (o *oomWatch) compare(vmstat string) bool {
	_, after, ok := strings.Cut("\n"+vmstat, "\noom_kill ")
	if !ok {
		return false
	}
	now, _, _ := strings.Cut(after, "\n")
	changed := o.kills != "" && now != o.kills
	o.kills = now
	return changed
}
