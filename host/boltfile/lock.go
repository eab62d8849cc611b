package boltfile

import (
	"os"
	"time"
)

// lockMode is who else may hold the lock: other readers, or nobody.
type lockMode int

const (
	shared lockMode = iota
	exclusive
)

// lockPoll is how often a lock that is held is tried again; the system's own wait
// knows no timeout.
const lockPoll = 10 * time.Millisecond

// lock takes the lock that bbolt takes, and waits for it for as long as wait. It
// ends when the file is closed.
func lock(f *os.File, mode lockMode, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; time.Sleep(lockPoll) {
		held, err := tryLock(f, mode)
		if held || err != nil {
			return err
		}
		if !time.Now().Before(deadline) {
			return ErrLocked
		}
	}
}
