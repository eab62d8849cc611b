// Package shim keeps a host's workers. On Linux a host starts a pair of small
// processes, its own binary executed again: the guard, and below it the shim,
// which is the parent of every worker and the subreaper of whatever they fork. A
// worker therefore doesn't end with its host, and nothing that a worker started
// outlives them all:
//
//   - The shim learns of its host's death by the end of their connection. It gives
//     another host the grace to come, then kills every worker with all that
//     descends from it, and ends.
//   - That may be another one, an heir ([AttachHeir]), once the process of the last
//     host is verifiably dead.
//   - The guard does nothing but wait. When the shim dies, the kernel kills the
//     workers (PDEATHSIG), and the guard kills what they had forked.
//   - When the guard dies, the shim kills everything, and ends.
//
// [Client] is the host's side. The rest runs in those processes, from this
// package's init: they are chosen by the name they are executed under and the
// descriptors they are given, and never return to the program's own main. The
// package imports the standard library, x/sys and plugin/proc alone, so that they stay small.
//
// # Concurrency
//
// A [Client] is safe for concurrent use; one goroutine of it calls every [Sink]. In
// the shim one goroutine owns all state, and forks: PDEATHSIG is tied to its thread.
//
// # Errors
//
// Those of the system, with what was tried; [ErrGone] when the shim has ended;
// [AttachedError] when another host has it.
package shim
