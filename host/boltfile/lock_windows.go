package boltfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// inheritable: a second lock of the same range is refused here, even by its owner,
// and an open file can't be renamed; so the check's lock ends before bbolt's begins.
const inheritable = false

// lockOffset is the byte that bbolt locks.
const lockOffset = 1<<32 - 1

func tryLock(f *os.File, mode lockMode) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if mode == exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := &windows.Overlapped{Offset: lockOffset, OffsetHigh: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, os.NewSyscallError("LockFileEx", err)
}

// SyncDir does nothing: NTFS keeps a journal of names.
func SyncDir(string) error { return nil }
