// Package host is the engine: pools of workers, the calls that run on them, the
// sessions that tie calls to a worker, and the tools by name. It declares every
// interface that it needs of the rooms around it ([Launcher], [Worker],
// [Running], [Registry]) and reaches no technology itself: no processes, no
// go-plugin, no Raft, no disk.
//
// # Concurrency
//
// A [Host] is safe for concurrent use. [Host.Run] owns every goroutine and
// returns after the last one ended. No lock is held across a channel, a timer,
// I/O or a call to another package.
//
// # Errors
//
// Every error of a call is an *errdefs.Error that says what happened, where,
// and whether the call may have run; errors.Is finds its class.
package host
