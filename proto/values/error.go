package values

import (
	"errors"
	"fmt"
	"strconv"
)

// MaxDepth is how many containers deep a value may be.
const MaxDepth = 128

// Error says what is wrong, and where.
type Error struct {
	Path    string // "$.pixels[3]"
	Message string
}

// Error is the path and the message.
func (e *Error) Error() string { return e.Path + ": " + e.Message }

// fault is an error whose path is still being built, from the inside out.
type fault struct {
	path    string
	message string
}

func (f *fault) Error() string { return f.message }

func faultf(format string, args ...any) error {
	return &fault{message: fmt.Sprintf(format, args...)}
}

// within says that err, if any, happened inside the field or entry named key.
func within(err error, key string) error {
	if err == nil {
		return nil
	}
	return inside(err, keySegment(key))
}

// atIndex says that err, if any, happened at an index.
func atIndex(err error, i int) error {
	if err == nil {
		return nil
	}
	return inside(err, "["+strconv.Itoa(i)+"]")
}

func inside(err error, segment string) error {
	var f *fault
	if errors.As(err, &f) {
		f.path = segment + f.path
		return f
	}
	return &fault{path: segment, message: err.Error()}
}

// final turns a fault into the error that callers see.
func final(err error) error {
	if err == nil {
		return nil
	}
	var f *fault
	if errors.As(err, &f) {
		return &Error{Path: "$" + f.path, Message: f.message}
	}
	return &Error{Path: "$", Message: err.Error()}
}

// keySegment writes a key as a path does: .name, or ["odd name"].
func keySegment(key string) string {
	for i := range len(key) {
		c := key[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return "[" + strconv.QuoteToASCII(key[:min(len(key), 64)]) + "]"
		}
	}
	return "." + key
}
