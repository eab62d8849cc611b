//go:build !linux && !darwin

package lane

import (
	"net"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// PeerOf is not available here: the local carrier exists on Linux and macOS.
func PeerOf(*net.UnixConn) (Peer, error) {
	return Peer{}, errdefs.New(errdefs.Unimplemented, "this system doesn't tell who is at the other end of a socket")
}
