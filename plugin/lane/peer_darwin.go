package lane

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// PeerOf asks the kernel which process is at the other end of a Unix socket, by
// LOCAL_PEERPID and LOCAL_PEERCRED.
func PeerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("peer of the lane: %w", err)
	}
	var peer Peer
	var credErr error
	err = raw.Control(func(fd uintptr) { peer, credErr = peerOf(int(fd)) }) //nolint:gosec // a descriptor
	if err == nil {
		err = credErr
	}
	if err != nil {
		return Peer{}, fmt.Errorf("peer of the lane: %w", err)
	}
	return peer, nil
}

func peerOf(fd int) (Peer, error) {
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return Peer{}, err
	}
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	return Peer{PID: pid, UID: int(cred.Uid)}, nil
}
