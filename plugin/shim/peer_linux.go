package shim

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer is the process at the other end of a connection.
type peer struct {
	pid  int      // as our PID namespace numbers it; zero: it can't be seen from here
	life *os.File // its pidfd; nil: the kernel gives none
}

// peerOf finds who is at the other end. It refuses other users.
func peerOf(conn *net.UnixConn) (*peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var p *peer
	var peerErr error
	err = raw.Control(func(fd uintptr) { p, peerErr = peerBehind(int(fd)) })
	if err != nil {
		return nil, err
	}
	return p, peerErr
}

func peerBehind(fd int) (*peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, err
	}
	if int(cred.Uid) != os.Getuid() && cred.Uid != 0 {
		return nil, fmt.Errorf("user %d isn't ours", cred.Uid)
	}
	p := &peer{pid: int(cred.Pid)}
	life, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil && p.pid > 0 { // of a kernel before 6.5
		life, err = unix.PidfdOpen(p.pid, 0)
	}
	if err == nil && unix.SetNonblock(life, true) == nil { // for the runtime's poller
		p.life = os.NewFile(uintptr(life), "host")
	}
	return p, nil
}

// awaitEnd waits until the process has ended, and reports false when the peer was
// closed before, or can't be watched.
func (p *peer) awaitEnd() bool {
	if p.life == nil {
		return false
	}
	raw, err := p.life.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Read(func(fd uintptr) bool {
		ended = polled(fd, unix.POLLIN)
		return ended
	})
	return err == nil && ended
}

// gone reports whether the process is known to have ended. Of nobody that isn't known.
func (p *peer) gone() bool {
	if p == nil || p.life == nil {
		return false
	}
	raw, err := p.life.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Control(func(fd uintptr) { ended = polled(fd, unix.POLLIN) })
	return err == nil && ended
}

func (p *peer) close() {
	if p.life != nil {
		_ = p.life.Close() // nothing was written; a second time does nothing
	}
}

// hungUp reports whether the other end of a connection was closed, or won't write any more.
func hungUp(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	over := false
	err = raw.Control(func(fd uintptr) { over = polled(fd, unix.POLLRDHUP) })
	return err != nil || over
}

// polled looks, without waiting, for an event of a descriptor.
func polled(fd uintptr, event int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: event}} //nolint:gosec // a descriptor is small
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(event|unix.POLLHUP|unix.POLLERR) != 0
}
