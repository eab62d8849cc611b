// Package names says what names and metadata may look like, for both sides of the
// wire: the engine checks what callers give, the lane what the other process sends.
//
// # Errors
//
// invalid_tool_name and invalid_arguments, whose texts don't grow with what was given.
package names

import (
	"strings"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// MaxName is the longest name of a tool or pool, in bytes.
	MaxName = 64
	// MaxID is the longest id of a session, worker or node, in bytes.
	MaxID = 256
	// MaxMetadata is how many entries a call's metadata may have.
	MaxMetadata = 16
	// MaxMetadataBytes is how long all keys and values may be together.
	MaxMetadataBytes = 4 << 10
)

// Valid reports whether s is 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*.
func Valid(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// CheckTool says what is wrong with a tool's name; nil when nothing is.
func CheckTool(name string) *errdefs.Error {
	if Valid(name) {
		return nil
	}
	e := errdefs.New(errdefs.InvalidToolName, "tool name %q of %d bytes", Cut(name), len(name))
	e.Hint = "a name is 1 to 64 letters, digits, '_', '.' and '-', and begins with a letter or digit"
	return e
}

// CheckID says what is wrong with an id of what kind names, such as "session";
// nil when it's 1 to 256 bytes of UTF-8.
func CheckID(kind, id string) *errdefs.Error {
	if id != "" && len(id) <= MaxID && utf8.ValidString(id) {
		return nil
	}
	return errdefs.New(errdefs.InvalidArguments, "%s id %q of %d bytes isn't 1 to %d bytes of UTF-8", kind, Cut(id), len(id), MaxID)
}

// CheckMetadata says what is wrong with a call's metadata; nil when nothing is.
func CheckMetadata(m map[string]string) *errdefs.Error {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return errdefs.New(errdefs.InvalidArguments, "metadata that isn't UTF-8")
		}
	}
	if len(m) > MaxMetadata || size > MaxMetadataBytes {
		return errdefs.New(errdefs.InvalidArguments, "metadata of %d entries and %d bytes, where at most %d and %d are allowed",
			len(m), size, MaxMetadata, MaxMetadataBytes)
	}
	return nil
}

// Cut shortens a name from outside for a message, and makes it valid UTF-8.
func Cut(s string) string {
	if len(s) > MaxName {
		s = s[:MaxName] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
