package shim

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// lostFD stands for descriptors that the kernel couldn't give us: too many are open.
const lostFD = -1

// rightsReader reads a stream and keeps the descriptors that come with it, in order.
type rightsReader struct {
	conn *net.UnixConn
	fds  []int
}

// Read implements io.Reader.
func (r *rightsReader) Read(p []byte) (int, error) {
	rights := make([]byte, unix.CmsgSpace((maxRights+1)*4))
	n, m, flags, _, err := r.conn.ReadMsgUnix(p, rights)
	if err != nil {
		return 0, err // n is the system's -1
	}
	if n == 0 {
		return 0, io.EOF
	}
	err = r.keep(rights[:m])
	if flags&unix.MSG_CTRUNC != 0 {
		r.fds = append(r.fds, lostFD) // one message is read at a time
	}
	return n, err
}

func (r *rightsReader) keep(rights []byte) error {
	if len(rights) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		r.fds = append(r.fds, fds...)
	}
	return nil
}

// take gives the next descriptor to the caller.
func (r *rightsReader) take() (int, error) {
	if len(r.fds) == 0 {
		return 0, errors.New("a frame without its descriptor")
	}
	fd := r.fds[0]
	r.fds = r.fds[1:]
	if fd == lostFD {
		return 0, fmt.Errorf("receive a descriptor: %w", unix.EMFILE)
	}
	return fd, nil
}

func (r *rightsReader) close() {
	closeAll(r.fds)
	r.fds = nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd != lostFD {
			_ = unix.Close(fd) // nothing was written
		}
	}
}
