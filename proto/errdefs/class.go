package errdefs

import (
	"context"
	"errors"
)

// Error classes. Test for one with errors.Is. The two of package context are
// classes as well: context.DeadlineExceeded and context.Canceled.
var (
	ErrInvalid       = errors.New("invalid")
	ErrNotFound      = errors.New("not found")
	ErrExists        = errors.New("already exists")
	ErrConflict      = errors.New("conflict")
	ErrFenced        = errors.New("fenced by a newer epoch")
	ErrExhausted     = errors.New("exhausted")
	ErrUnavailable   = errors.New("unavailable")
	ErrNotLeader     = errors.New("not the leader")
	ErrDenied        = errors.New("denied")
	ErrToolFailed    = errors.New("tool failed")
	ErrUnimplemented = errors.New("unimplemented")
	ErrInternal      = errors.New("internal error")
)

// A class has a name on the wire and a sentinel in Go.
type class struct {
	name     string
	sentinel error
}

func classes() []class {
	return []class{
		{"fenced", ErrFenced},
		{"not_leader", ErrNotLeader},
		{"tool_failed", ErrToolFailed},
		{"invalid", ErrInvalid},
		{"not_found", ErrNotFound},
		{"exists", ErrExists},
		{"conflict", ErrConflict},
		{"exhausted", ErrExhausted},
		{"unavailable", ErrUnavailable},
		{"denied", ErrDenied},
		{"unimplemented", ErrUnimplemented},
		{"deadline", context.DeadlineExceeded},
		{"cancelled", context.Canceled},
		{"internal", ErrInternal},
	}
}

func classNamed(name string) (class, bool) {
	for _, c := range classes() {
		if c.name == name {
			return c, true
		}
	}
	return class{}, false
}

// classOf finds the first class that err is of.
func classOf(err error) class {
	for _, c := range classes() {
		if errors.Is(err, c.sentinel) {
			return c
		}
	}
	return class{"internal", ErrInternal}
}
