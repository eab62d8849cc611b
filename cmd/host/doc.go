// Command snakepit runs Python tools: it starts hosts, calls tools on them, and
// tells how they are. docs/cli.md, generated from the commands, is its reference.
//
// It is the one place of the project that reads the command line, handles signals,
// writes to the standard streams and exits. All of that goes through [program], whose
// fields a test can replace; main only fills them in.
//
// # Output
//
// Results go to stdout, everything else to stderr. With -o json there is one object
// or array on stdout, and a failure is an object {"error": …} on stderr. The exit
// code is 0, 1 when the command failed, or 2 when the command line itself was wrong.
//
// # Concurrency
//
// One goroutine listens for signals; it ends before main does. `top` has one that
// asks the host and one that reads keys, which end before it does. All else runs in
// the caller's goroutine.
//
// # The screen of top
//
// Two tables that are redrawn each second need no framework: the terminal is put into
// raw mode by golang.org/x/term, reads time out after a tenth of a second so that the
// reader can end, and a frame is one write. bubbletea and what it brings would be
// 14 modules and 3 MiB in a program that is also its own shim and guard.
package main
