package host

import (
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Request says what to run. The call's deadline is its context's.
type Request struct {
	Tool       string
	Payload    []byte    // the arguments: a msgpack map (proto/values); not changed, and not to be changed until the call has ended
	Pool       string    // empty: the session's, else the one that has the tool
	Session    SessionID // empty: none; one that isn't there is opened
	MustExist  bool      // fail with session_not_found instead of opening a session
	Idempotent bool      // run it again, once, when its worker died before it gave anything; not with Input
	Stream     bool      // the caller takes chunks
	Input      bool      // the caller sends chunks
	Metadata   map[string]string
}

const (
	maxName            = 64
	maxSessionID       = 256
	maxMetadataEntries = 16
	maxMetadataBytes   = 4096
)

func (r Request) validate() error {
	if !validName(r.Tool) {
		return invalidToolName(r.Tool)
	}
	if r.Session != "" || r.MustExist {
		if err := validateSessionID(r.Session); err != nil {
			return err
		}
	}
	return validateMetadata(r.Metadata)
}

// validName reports whether s is 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*.
func validName(s string) bool {
	if s == "" || len(s) > maxName || !alphanumeric(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func invalidToolName(name string) error {
	e := errdefs.New(errdefs.InvalidToolName, "tool name %q of %d bytes", cut(name), len(name))
	e.Hint = "a name is 1 to 64 bytes of letters, digits, '_', '.' and '-', and begins with a letter or digit"
	return e
}

// validateSessionID refuses what isn't 1 to 256 bytes of UTF-8.
func validateSessionID(id SessionID) error {
	if id == "" || len(id) > maxSessionID || !utf8.ValidString(string(id)) {
		return errdefs.New(errdefs.InvalidArguments, "session id %q of %d bytes isn't 1 to %d bytes of UTF-8",
			cut(string(id)), len(id), maxSessionID)
	}
	return nil
}

func validateMetadata(m map[string]string) error {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
	}
	if len(m) > maxMetadataEntries || size > maxMetadataBytes {
		return errdefs.New(errdefs.InvalidArguments, "metadata of %d entries and %d bytes; at most %d and %d",
			len(m), size, maxMetadataEntries, maxMetadataBytes)
	}
	return nil
}

// cut shortens a name from outside, so that no message grows with it.
func cut(s string) string {
	if len(s) <= maxName {
		return s
	}
	return s[:maxName] + "…"
}
