package host

import "context"

// A StateRegistry is a [Registry] that also keeps a small state for each session:
// keys, values and their versions. It outlives the session's worker and its owner.
// hosttest.TestStateRegistry is its contract as a test.
type StateRegistry interface {
	// State gives a session's state. It's read from memory; the values must not be
	// changed. Errors: session_not_found; session_expired.
	State(ctx context.Context, id SessionID) (map[string]StateValue, error)
	// SetState changes it, wholly or not at all, and returns the version that all it
	// set have now. It blocks until the change is as durable as the registry makes it.
	// epoch is the session's, as the caller knows it. A state has at most 64 keys of 1
	// to 256 bytes, values of at most 4 KiB, and 64 KiB in all. Errors: fenced when the
	// session has another epoch; conflict when a key has another version;
	// payload_too_large; invalid_arguments; session_not_found; session_expired; those
	// of a write.
	SetState(ctx context.Context, id SessionID, epoch uint64, changes ...StateChange) (version uint64, err error)
}

// StateValue is what a key of a session's state holds.
type StateValue struct {
	Bytes   []byte
	Version uint64 // grows with each change
}

// StateChange changes one key of a session's state.
type StateChange struct {
	Key      string
	Value    []byte // at most 4 KiB
	Delete   bool   // instead of setting it
	Expected uint64 // the version that it must have, if Compare; zero: it mustn't be there
	Compare  bool
}
