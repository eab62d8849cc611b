package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Pinned is one process, held by a pidfd: whatever becomes of its pid, a signal
// through it reaches this process or nobody. It's safe for concurrent use, Close included.
type Pinned struct {
	id ID
	fd int

	mu     sync.Mutex // guards the fields below
	users  int        // of fd just now
	closed bool
}

// Pin takes hold of a process and makes sure that it's the one meant. It fails
// with [ErrGone]; then nothing was signalled and nothing is held.
func Pin(id ID) (*Pinned, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open %d: %w", id.PID, err)
	}
	now, err := Read(id.PID) // after the pin: from here on the pid can't change hands unseen
	if err == nil && (now.ID != id || now.Dead()) {
		err = ErrGone
	}
	if err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, err
	}
	return &Pinned{id: id, fd: fd}, nil
}

// Adopt makes a Pinned of a pidfd that was received, and reads from it which
// process that is, as this PID namespace numbers it. It owns fd from here on. A
// process that is dead already has an ID without a start time.
func Adopt(fd int) (*Pinned, error) {
	pid, err := pidOf(fd)
	if err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, err
	}
	return &Pinned{id: identityBehind(fd, pid), fd: fd}, nil
}

// identityBehind reads who has a pid, and makes sure that it was still the
// descriptor's process: after that one is reaped, its pid may be anybody's.
func identityBehind(fd, pid int) ID {
	now, err := Identify(pid)
	if err != nil {
		return ID{PID: pid}
	}
	if still, err := pidOf(fd); err != nil || still != pid {
		return ID{PID: pid}
	}
	return now
}

func pidOf(fd int) (int, error) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if value, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			return strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return 0, errors.New("the descriptor is no pidfd")
}

// ID is which process it is.
func (p *Pinned) ID() ID { return p.id }

// Signal sends a signal to the process alone. It fails with [ErrGone], also after Close.
func (p *Pinned) Signal(sig unix.Signal) error {
	if !p.use() {
		return ErrGone
	}
	defer p.unuse()
	err := unix.PidfdSendSignal(p.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// Exited waits until the process has ended, zombies included, for at most the given
// time, and reports whether it has. After Close it's unknown, which counts as not.
func (p *Pinned) Exited(within time.Duration) bool {
	if !p.use() {
		return false
	}
	defer p.unuse()
	deadline := time.Now().Add(within)
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor is small
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) && !time.Now().Before(deadline) {
			return false
		}
	}
}

// Close lets go of the process. A second one does nothing.
func (p *Pinned) Close() {
	if p.use() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.unuse()
	}
}

// use keeps the descriptor open until unuse: its number may be another file's after that.
func (p *Pinned) use() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.users++
	return true
}

func (p *Pinned) unuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	if p.closed && p.users == 0 {
		_ = unix.Close(p.fd) // nothing was written
	}
}

// Kill sends SIGKILL to the process with this identity, if it still is that. It
// reports whether it was alive.
func Kill(id ID) bool { return Signal(id, unix.SIGKILL) }

// Signal sends a signal to the process with this identity, if it still is that,
// and reports whether it did.
func Signal(id ID, sig unix.Signal) bool {
	p, err := Pin(id)
	if err != nil {
		return false
	}
	defer p.Close()
	return p.Signal(sig) == nil
}
