// Package cluster keeps the registry of sessions and processes on disk, in a Raft
// log, so that it outlives the host. [Open] gives a [Node], which implements
// host.Registry and host.ProcessRegistry. Without a [Transport] it's a cluster of
// one, which listens nowhere. With one, others join it ([Join]); each node has a
// [Lease], without which it must serve no session, and what a dead one owned is given
// to others.
//
// # Concurrency
//
// A [Node] is safe for concurrent use. It owns all goroutines, Raft's included,
// and [Node.Done] is closed after the last one has ended. Writes that come while
// another is on its way to the disk share the next entry and its fsync. No lock is
// held across a channel, a timer or I/O. Callbacks of [Config] come from its
// goroutines, and mustn't block.
//
// # Errors
//
// Every error is an *errdefs.Error; each method says which. A disk that can't be
// written ends the node, never the program: its writes fail from then on with the
// same error that [Node.Err] gives, and what was acknowledged is on disk. Without a
// majority of the voters a write fails within two seconds: with no_quorum when
// surely nothing was written, with outcome_unknown otherwise.
//
// # Consistency
//
// A write may be made on any node. One that returned without an error is on the disks
// of a majority and will be there after any crash. One that returned deadline,
// cancelled, outcome_unknown or the error that ended the node may be there or not;
// one that never returned as well. No command is run twice. Reads are of what has
// been applied here: whoever wrote reads its own write on the same node,
// [Node.Consistent] waits for those of others, and a node reads nothing before it has
// caught up. Epochs never repeat and grow with each change of owner, even when a
// damaged log had to be set aside.
package cluster
