// Package cluster keeps the registry of sessions and processes on disk, in a Raft
// log, so that it outlives the host. So far a cluster has one node: a sole voter,
// which listens nowhere. [Open] gives a [Node], which implements host.Registry and
// host.ProcessRegistry.
//
// # Concurrency
//
// A [Node] is safe for concurrent use. It owns all goroutines, Raft's included,
// and [Node.Done] is closed after the last one has ended. Writes that come while
// another is on its way to the disk share the next entry and its fsync. No lock is
// held across a channel, a timer or I/O.
//
// # Errors
//
// Every error is an *errdefs.Error; each method says which. A disk that can't be
// written ends the node, never the program: its writes fail from then on with the
// same error that [Node.Err] gives, and what was acknowledged is on disk.
//
// # Consistency
//
// A write that returned without an error is on disk and will be there after any
// crash. One that returned deadline, cancelled, outcome_unknown or the error that
// ended the node may be there or not; one that never returned as well. No command is run twice.
// Reads are of what has been applied: whoever wrote reads its own write, and a
// node reads nothing before it has caught up. Epochs never repeat and grow with
// each change of owner, even when a damaged log had to be set aside.
package cluster
