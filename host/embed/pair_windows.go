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

func copyOf(net.Listener) (*os.File, error) {
	return nil, errors.New("a listener can't be handed over on Windows")
}
