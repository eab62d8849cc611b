package errdefs

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Error is a failure with everything that its reader may need. The zero value of
// each field means that it doesn't apply.
type Error struct {
	Reason     Reason
	Message    string        // what happened
	MayHaveRun bool          // the call may have run, wholly or partly
	Path       string        // the field that is wrong: "$.pixels[3]"
	Hint       string        // what to do about it
	Where      Where         // where it happened
	Exception  *Exception    // for PythonException and StartFailed
	Exit       *Exit         // for WorkerCrashed and StartFailed
	RetryAfter time.Duration // zero: not known

	class error // set for reasons that this program doesn't know
	cause error // stays on this side of the wire
}

// Where says what an error is about.
type Where struct {
	Node, Pool, Worker, Session, Tool, Call string
}

// Exception is a Python exception.
type Exception struct {
	Type      string   // with its module where that isn't builtins
	Bases     []string // nearest first, without object
	Message   string
	Traceback string
	Notes     []string
}

// Exit is how a process ended.
type Exit struct {
	Code   int      // -1: a signal ended it
	Signal string   // "SIGSEGV"; empty: none
	Stderr []string // its last lines
}

// New makes an error of a reason.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a reason with a cause, which errors.Is and errors.As
// find and which doesn't cross the wire except as text.
func Wrap(r Reason, cause error, format string, args ...any) *Error {
	return &Error{Reason: r, Message: fmt.Sprintf(format, args...) + ": " + cause.Error(), cause: cause}
}

// Error is one line: what happened, where, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.text())
	if w := e.Where.String(); w != "" {
		b.WriteString(" (" + w + ")")
	}
	if e.MayHaveRun {
		b.WriteString("; it may have run")
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) text() string {
	if e.Message == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Message
}

// Unwrap gives the class and the cause.
func (e *Error) Unwrap() []error {
	class := e.class
	if t, ok := rowOf(e.Reason); ok {
		class = t.class
	}
	if class == nil {
		class = ErrInternal
	}
	if e.cause == nil {
		return []error{class}
	}
	return []error{class, e.cause}
}

// At fills those fields of Where that are still empty and returns e.
func (e *Error) At(w Where) *Error {
	fill := func(dst *string, src string) {
		if *dst == "" {
			*dst = src
		}
	}
	fill(&e.Where.Node, w.Node)
	fill(&e.Where.Pool, w.Pool)
	fill(&e.Where.Worker, w.Worker)
	fill(&e.Where.Session, w.Session)
	fill(&e.Where.Tool, w.Tool)
	fill(&e.Where.Call, w.Call)
	return e
}

// String names what is known: "pool ml, worker ml-1, tool predict".
func (w Where) String() string {
	var parts []string
	for _, p := range [][2]string{
		{"node", w.Node}, {"pool", w.Pool}, {"worker", w.Worker}, {"session", w.Session}, {"tool", w.Tool}, {"call", w.Call},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// String is "exit code 3" or "signal SIGSEGV".
func (x Exit) String() string {
	if x.Signal != "" {
		return "signal " + x.Signal
	}
	return fmt.Sprintf("exit code %d", x.Code)
}

func deadlineClass() error  { return context.DeadlineExceeded }
func cancelledClass() error { return context.Canceled }
