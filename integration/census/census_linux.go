package census

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// tokenVariable names a worker in its environment and in that of what it starts.
const tokenVariable = "SNAKEPIT_WORKER_TOKEN"

// Entry is one live process.
type Entry struct {
	proc.Stat

	Token   string // of the worker that it is, or that started it
	Command string
}

// String names the process for people.
func (e Entry) String() string {
	return fmt.Sprintf("process %d (parent %d, state %c, token %q): %s", e.PID, e.PPID, e.State, e.Token, e.Command)
}

// Take lists the live processes that carry one of the marks on their command line
// or in their environment. This process isn't among them.
func Take(marks ...string) ([]Entry, error) {
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	var found []Entry
	for _, s := range all {
		if s.Dead() || s.PID == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", strconv.Itoa(s.PID))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // empty: it has gone
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if carries(line, marks) || carries(env, marks) {
			found = append(found, Entry{s, proc.Getenv(s.PID, tokenVariable), proc.CommandLine(s.PID)})
		}
	}
	return found, nil
}

func carries(text []byte, marks []string) bool {
	for _, mark := range marks {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return false
}

// Pair are the two processes that keep a host's workers.
type Pair struct{ Guard, Shim proc.ID }

// PairIn finds the pair of a run folder, the folder of the host's socket; false
// when there is none.
func PairIn(run string) (Pair, bool) {
	found, err := Take(run)
	if err != nil {
		return Pair{}, false
	}
	var p Pair
	for _, e := range found {
		if strings.HasPrefix(e.Command, "snakepit-guard "+run) {
			p.Guard = e.ID
		}
	}
	for _, e := range found {
		if e.PPID == p.Guard.PID && strings.HasPrefix(e.Command, "snakepit-shim ") {
			p.Shim = e.ID
		}
	}
	return p, p.Shim.PID != 0
}

// Held are processes under watch, each by a pidfd: whatever becomes of its pid, it's
// this process that is signalled and waited for.
type Held struct {
	fds  []int
	ends []time.Time // zero: alive
}

// Hold takes processes under watch. Those that have ended already end at the first look.
func Hold(ids ...proc.ID) (*Held, error) {
	h := &Held{}
	for _, id := range ids {
		fd, err := hold(id)
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("hold process %d: %w", id.PID, err)
		}
		h.fds = append(h.fds, fd)
		h.ends = append(h.ends, time.Time{})
	}
	return h, nil
}

// hold opens a pidfd; -1: the process has ended.
func hold(id proc.ID) (int, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if now, err := proc.Read(id.PID); err != nil || now.ID != id {
		return -1, unix.Close(fd) // the pid is another's by now
	}
	return fd, nil
}

// Signal sends a signal to all of them, in order and without a pause.
func (h *Held) Signal(sig unix.Signal) {
	for _, fd := range h.fds {
		if fd >= 0 {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it may have ended
		}
	}
}

// Ended waits until each of them has ended, zombies included, for at most a time, and
// returns when each did; zero: it hasn't. An end is seen when this looks, not before.
func (h *Held) Ended(within time.Duration) []time.Time {
	deadline := time.Now().Add(within)
	for more := true; more; {
		more = h.look(max(time.Until(deadline), 0)) && time.Now().Before(deadline)
	}
	return h.ends
}

// AnyEnded waits until one more of them has ended, for at most a time.
func (h *Held) AnyEnded(within time.Duration) []time.Time {
	h.look(within)
	return h.ends
}

// look waits for the next end, and reports whether anybody is alive.
func (h *Held) look(within time.Duration) bool {
	fds, which := h.waiting()
	if len(fds) == 0 {
		return false
	}
	_, _ = unix.Poll(fds, int(within.Milliseconds())+1) // interrupted: the caller looks again
	now := time.Now()
	for i, fd := range fds {
		if fd.Revents != 0 {
			h.ends[which[i]] = now
		}
	}
	return true
}

// waiting are the descriptors of those alive. One that was gone from the start ends now.
func (h *Held) waiting() (fds []unix.PollFd, which []int) {
	for i, fd := range h.fds {
		switch {
		case !h.ends[i].IsZero():
		case fd < 0:
			h.ends[i] = time.Now()
		default:
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) //nolint:gosec // a descriptor is small
			which = append(which, i)
		}
	}
	return fds, which
}

// Close lets go of them.
func (h *Held) Close() {
	for _, fd := range h.fds {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written
		}
	}
}
