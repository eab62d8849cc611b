//go:build unix

package lane

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func newInstant(c *local) (Carrier, bool) {
	conn, ok := c.conn.(*net.UnixConn)
	if !ok {
		return nil, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, false
	}
	now := &instantLocal{local: c, raw: raw}
	now.write = now.attempt
	return now, true
}

// attempt is one write without waiting. It always reports that it's finished,
// since waiting is Flush's part.
func (c *instantLocal) attempt(fd uintptr) bool {
	n, err := unix.Write(int(fd), c.rest)
	if n > 0 {
		c.rest = c.rest[n:]
	}
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.err = err
	}
	return true
}
