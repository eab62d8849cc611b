package shim

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

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
		return n, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, errors.New("descriptors were lost: too many are open")
	}
	return n, r.keep(rights[:m])
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

// take gives the next n descriptors to the caller.
func (r *rightsReader) take(n int) ([]int, error) {
	if len(r.fds) < n {
		return nil, errors.New("a frame without its descriptors")
	}
	fds := r.fds[:n]
	r.fds = r.fds[n:]
	return fds, nil
}

func (r *rightsReader) close() {
	for _, fd := range r.fds {
		_ = unix.Close(fd) // nothing was written
	}
	r.fds = nil
}
