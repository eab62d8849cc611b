package host

import (
	"context"
	"time"
)

// Registry is the record of sessions: in memory, on disk, or replicated. The
// engine asks it when a session is opened, moved or closed, never for a call of a
// session that it knows. hosttest.TestRegistry is its contract as a test.
type Registry interface {
	// OpenSession records a session, or returns the one of this id that is there
	// already, as it is. It blocks until the record is as durable as the registry
	// makes it. Errors: session_quota; no_quorum; disk_full; session_expired for an id whose
	// session expired not long ago; invalid_arguments for one that isn't 1 to 256
	// bytes of UTF-8, and for an unknown affinity.
	OpenSession(ctx context.Context, s Session) (Session, error)
	// Session returns one session. Errors: session_not_found; session_expired for
	// one that expired not long ago.
	Session(ctx context.Context, id SessionID) (Session, error)
	// BindSession gives the session a new home and a higher epoch. It changes
	// nothing and fails with conflict when the session's epoch isn't from.
	BindSession(ctx context.Context, id SessionID, home WorkerID, from uint64) (Session, error)
	// CloseSession forgets a session. expired says that its time had run out, so
	// that later readers get session_expired instead of session_not_found. A
	// session that isn't there is no error.
	CloseSession(ctx context.Context, id SessionID, expired bool) error
	// Sessions returns all sessions, sorted by id.
	Sessions(ctx context.Context) ([]Session, error)
}

// Session is a caller's named state, tied to a worker.
type Session struct {
	ID       SessionID
	Pool     string
	Home     WorkerID      // the worker that holds what it keeps in memory; empty: none yet
	Owner    Owner         // who answers for it; zero where there's only one node
	Epoch    uint64        // grows with each change of home or owner
	TTL      time.Duration // after its last use; zero: it never expires
	Metadata map[string]string
	OpenedAt time.Time // for people; nothing is decided by it
	// Affinity is what becomes of its calls when the home is busy or gone; empty: hint.
	Affinity   Affinity
	Concurrent bool // its calls don't wait for each other
	// Availability is what becomes of it when its node can't be reached; empty: strict.
	Availability Availability
}
