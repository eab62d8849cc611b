package boltfile

import (
	"fmt"
	"runtime/debug"
)

// Guard runs fn, which works on a bbolt file, and turns a panic or a fault in mapped
// memory into an error that wraps [ErrTorn]: a disk can go bad under a file that
// was sound when it was opened. It guards the calling goroutine alone, so fn must
// start none; a bbolt transaction under way is rolled back where bbolt can.
func Guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrTorn, p)
		}
	}()
	return fn()
}
