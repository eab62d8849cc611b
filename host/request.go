package host

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
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
	// Caller is who shares the pool's slots fairly with others: empty: the session,
	// else all that name none together. At most 256 bytes.
	Caller   string
	Priority Priority
	Affinity Affinity // empty: the session's; else at least as strict
	// Concurrent opens a session whose calls don't wait for each other; for one that
	// is there already it means nothing.
	Concurrent bool
	// Availability is that of a session which this call opens; empty: strict.
	Availability Availability
}

// Priority is a call's class: while calls of a higher one wait, one of a lower waits
// longer, but not for ever.
type Priority int

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
)

func (r Request) validate() error {
	if err := names.CheckTool(r.Tool); err != nil {
		return err
	}
	if r.Session != "" || r.MustExist {
		if err := validateSessionID(r.Session); err != nil {
			return err
		}
	}
	if err := names.CheckMetadata(r.Metadata); err != nil {
		return err
	}
	return r.validateOrder()
}

// validateOrder refuses what says nothing sensible about when and where the call runs.
func (r Request) validateOrder() error {
	if r.Caller != "" {
		if err := names.CheckID("caller", r.Caller); err != nil {
			return err
		}
	}
	if err := r.Affinity.Validate(); err != nil {
		return err
	}
	if err := r.Availability.Validate(); err != nil {
		return err
	}
	switch {
	case r.Session == "" && (r.Affinity != "" || r.Concurrent || r.Availability != ""):
		e := errdefs.New(errdefs.InvalidArguments, "an affinity, an availability, or concurrent, without a session")
		e.Hint = "name the session"
		return e
	case r.Priority < PriorityLow || r.Priority > PriorityHigh:
		return errdefs.New(errdefs.InvalidArguments, "priority %d isn't %d to %d", r.Priority, PriorityLow, PriorityHigh)
	}
	return nil
}

// validateSessionID refuses what isn't 1 to 256 bytes of UTF-8.
func validateSessionID(id SessionID) error {
	if err := names.CheckID("session", string(id)); err != nil {
		return err
	}
	return nil
}
