package host

import "context"

// Owner is one start of a node, as the registry of several knows it: it answers for
// sessions until its lease has ended.
type Owner struct {
	Node        string // its id
	Incarnation uint64 // grows with each registration
}

// An OwnerRegistry is a [Registry] of several nodes, each of which owns sessions.
// The engine looks for it: with one, a call goes to its session's owner. What it
// reads comes from memory, so that a call may ask.
type OwnerRegistry interface {
	// Self is this node under its present incarnation, and whether its lease holds at
	// this moment. The zero Owner: it isn't registered yet, and owns nothing.
	Self() (self Owner, holds bool)
	// Owner says who owns a session, as far as this node knows, and under which epoch.
	// Errors: session_not_found; session_expired.
	Owner(ctx context.Context, id SessionID) (owner Owner, epoch uint64, err error)
	// MoveSession gives a session that has an epoch to another node, under a new one and
	// without a home. Its owner does it, once it serves it no more. Errors: conflict
	// when the session has another epoch; fenced when that node isn't up any more;
	// those of a write.
	MoveSession(ctx context.Context, id SessionID, from uint64, to Owner) (Session, error)
	// Place finds other nodes that have room for n sessions of a pool: one for each, and
	// fewer where there's less. It asks the leader. Errors: no_quorum, deadline, cancelled.
	Place(ctx context.Context, pool string, n int) ([]Owner, error)
}

// An ExpiryRegistry is a [Registry] of several nodes that ends a session only as long
// as it has the epoch of which it's known that its time has run out. The engine looks
// for it.
type ExpiryRegistry interface {
	// ExpireSession forgets a session that has an epoch, and that it has expired is
	// remembered. One that isn't there is no error. Errors: conflict when the session has
	// another epoch; those of a write.
	ExpireSession(ctx context.Context, id SessionID, epoch uint64) error
}

// A CurrentRegistry is a [Registry] of several nodes that can tell what others knew
// when it was asked. The engine looks for it.
type CurrentRegistry interface {
	// Consistent returns once this node's memory has all that was acknowledged before,
	// anywhere. Errors: no_quorum, deadline, cancelled and the like.
	Consistent(ctx context.Context) error
}

// OwnerChange says that this node has begun to own a session, or doesn't any more.
type OwnerChange struct {
	Session Session // as it is now; only its id when it's gone
	Owner   Owner   // who owns it now; the zero value when it's gone
	Mine    bool    // it's this node, under the incarnation of this start
}

// A LeftRegistry is an [OwnerRegistry] that remembers where sessions lived when their
// owners were lost.
type LeftRegistry interface {
	// Left says where a session lived that hasn't had a home since. It's read from memory.
	Left(id SessionID) Left
}

// Left is where a session lived: what its home holds in memory may be there still. The
// zero value: it had no home, or nobody remembers.
type Left struct {
	Owner Owner    // whose it was
	Home  WorkerID // its home there
}
