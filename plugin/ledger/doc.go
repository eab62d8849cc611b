// Package ledger is the local, durable record of a host's worker processes: what
// was about to be forked, what was forked, and how to reach it. Whoever starts on
// the same data directory after a crash, or cleans up after one, learns from it
// which processes may be left.
//
// A worker's record goes through three writes and an end:
//
//	Intend    before the fork: the token that it carries, so that a scan can find it
//	Identify  after the fork: pid, start time and boot, which name one process
//	Complete  after the handshake: where it listens, for go-plugin's ReattachConfig
//	Erase     after the reap
//
// Beside the workers stands the host's incarnation, a counter that grows each time
// the ledger is opened.
//
// It is a bbolt file under bbolt's lock: one host has it open. Nothing in it is a
// secret but the tokens, and its file is the owner's alone.
//
// # Durability
//
// A write is on disk when its method returns nil, unless Options.NoSync says
// otherwise. After an error it may be there or not; an intent whose fork never
// came is harmless. Writes that come at the same time share one fsync.
//
// A file that a crash or a bad disk left torn is set aside and a new one begun:
// what it recorded is lost, the incarnation isn't.
//
// # Concurrency
//
// A [Ledger] is safe for concurrent use. It has one goroutine, which reads and
// writes, from [Open] until Close has returned. Methods block for the disk and know no context:
// a record that is half of a fork can't be given up.
//
// # Errors
//
// disk_full; invalid_config for a folder that can't be written; conflict for a
// ledger that a live host has open, and for a step out of order; exists and
// worker_not_found; invalid_arguments for what is out of bounds; internal for a
// disk that fails, and [ErrClosed].
package ledger
