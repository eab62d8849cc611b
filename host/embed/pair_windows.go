package embed

import (
	"errors"
	"net"
	"os"
)

// controlPair fails: descriptors can't be handed over here.
func controlPair() (ours net.Conn, theirs *os.File, err error) {
	return nil, nil, errors.New("a host can't be upgraded in place on Windows")
}
