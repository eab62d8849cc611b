//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// readsKeys says whether keys can be read one by one.
const readsKeys = true

// waitBriefly makes a read of the terminal return after some tenths of a second
// without a key.
func waitBriefly(fd int, tenths uint8) error {
	t, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 0, tenths
	return unix.IoctlSetTermios(fd, setTermios, t)
}

func notifyResize(to chan os.Signal) { signal.Notify(to, syscall.SIGWINCH) }

func stopResize(to chan os.Signal) { signal.Stop(to) }
