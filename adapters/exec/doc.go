// Package exec is the adapter for workers that are programs of their own, in any
// language: it says which command serves one, and nothing else. It starts no process
// and owns nothing. docs/workers.md says what such a program has to do.
//
// # Errors
//
// Everything that's wrong with the command itself is an invalid_config that says
// what was looked for. What only the program can find out comes from the start of
// the worker, with its last words and an exec Hint for what usually is the matter.
package exec
