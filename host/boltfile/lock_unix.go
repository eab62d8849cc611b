//go:build unix

package boltfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// inheritable: a lock taken here is the one that bbolt takes on the same
// descriptor, so the file never stands unlocked between the check and its use.
const inheritable = true

func tryLock(f *os.File, mode lockMode) (bool, error) {
	how := unix.LOCK_SH
	if mode == exclusive {
		how = unix.LOCK_EX
	}
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, os.NewSyscallError("flock", err)
}

// SyncDir makes durable what was made, renamed and removed in a folder.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // nothing was written through it
	return d.Sync()
}
