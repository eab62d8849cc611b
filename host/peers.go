package host

import "context"

// Peers are the other nodes, as the engine reaches them.
type Peers interface {
	// Open hands a call to a node, and blocks until that one has started it, or refused
	// it. An error without may_have_run means that the call hasn't run; host_unreachable,
	// that the node wasn't reached; session_moved, that it isn't the session's owner.
	// An error at the end of ctx says itself whether the call may have run, whatever the
	// cause of that end says.
	//
	// ctx bounds the whole call, and so does its end: once it's over, Recv fails and Done
	// is closed, whether the node answers or not. A node that is lost while the call runs
	// ends it with host_unreachable and may_have_run.
	Open(ctx context.Context, node string, f Forwarded) (Running, Place, error)
	// ServeTool runs a host tool that a node offers, in the context of the call that asks
	// for it: what [Ancestors] says of it goes along.
	ServeTool(ctx context.Context, node string, inv Invocation) ([]byte, error)
	// CloseSession ends a session that a node owns.
	CloseSession(ctx context.Context, node string, id SessionID) error
	// HandOver gives a node what the adapter saved of a session that it's about to own.
	HandOver(ctx context.Context, node string, s SavedSession) error
	// MoveSession has a node, which owns a session, hand it over to another one; ctx
	// bounds how long that may take.
	MoveSession(ctx context.Context, node string, id SessionID, to Owner) error
}

// Forwarded is a call that a node hands to another.
type Forwarded struct {
	Request

	ID    string // the call's
	From  string // the node that hands it on
	Epoch uint64 // the session's, as that one knows it; zero: no session, or none yet
	// Ancestors are the sessions of the calls that this one is nested in, each once; empty
	// stands for those without. None: it isn't nested.
	Ancestors []SessionID
}

// Place is where a forwarded call runs.
type Place struct {
	Node   string
	Worker WorkerID
	Epoch  uint64 // of its session; zero: none
	Home   bool   // it's the session's home
}

// SavedSession is what an adapter's on_session_save gave for a planned move.
type SavedSession struct {
	ID    SessionID
	Epoch uint64 // at which it was saved: the move is from there
	Saved []byte
}
