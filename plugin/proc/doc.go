// Package proc is what the kernel says about processes, and the one place that
// signals a process which may be a stranger: it's pinned by a pidfd first, then
// compared with who it should be, and only then signalled, all in one breath.
//
// It imports the standard library and x/sys alone, since the shim is built of it.
// Off Linux there is no /proc: what asks finds nobody.
package proc
