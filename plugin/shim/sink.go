package shim

import (
	"errors"
	"fmt"
)

// Sink gets what happens to one worker, in order and one call at a time. Most of it
// is called by the goroutine that serves every worker: it must not block.
type Sink interface {
	// Printed gets what the worker printed; data is the sink's.
	Printed(stream byte, data []byte)
	// Stopped says that a signal which isn't ours has stopped the worker, or that it goes on.
	Stopped(stopped bool)
	// Frozen says that the lease's end has stopped the worker, or that it goes on.
	Frozen(frozen bool)
	// Exited says that the worker's process is reaped. Nothing comes after it.
	Exited(e Exit)
}

// ErrGone says that the shim has ended, or that the host has let go of it.
var ErrGone = errors.New("the shim has ended")

// AttachedError says that the shim has a live host already.
type AttachedError struct {
	PID  int    // the host's; zero: it can't be seen from the shim's PID namespace
	Heir bool   // that one is another host, which took over when this one was dead
	Kept []Kept // its workers, when it's an heir
}

// Kept is a worker that an heir has.
type Kept struct {
	Worker string
	Token  string
	Note   string // its last host's
}

func (e *AttachedError) Error() string {
	return fmt.Sprintf("process %d has the workers", e.PID)
}

// spawnError is the shim's word on why a process couldn't be started.
type spawnError struct {
	text  string
	errno error // nil: it isn't the system's
}

func (e *spawnError) Error() string { return e.text }
func (e *spawnError) Unwrap() error { return e.errno }
