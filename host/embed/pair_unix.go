//go:build unix

package embed

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// controlPair makes a connection between a host and the process that takes over from it.
func controlPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	f := os.NewFile(uintptr(fds[0]), "heir")
	theirs = os.NewFile(uintptr(fds[1]), "predecessor")
	ours, err = net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// copyOf gives a copy of a listener's descriptor; the listener's end doesn't remove
// its path any more. It isn't the listener's own File, since giving that one's
// descriptor to a process makes both blocking, and an Accept that blocks in the kernel
// can't be ended.
func copyOf(l net.Listener) (*os.File, error) {
	u, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("a %T can't be handed over", l)
	}
	u.SetUnlinkOnClose(false)
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var dupErr error
	if err := raw.Control(func(fd uintptr) { copied, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("copy the listener: %w", dupErr)
	}
	return os.NewFile(uintptr(copied), "listener"), nil
}
