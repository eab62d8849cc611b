// Package python is the adapter for workers written in Python with the SDK: it
// says which command serves a file, a module or a class in a given interpreter,
// and nothing else. It starts no process and owns nothing.
//
// # Errors
//
// Everything that's wrong with the target or the interpreter's path is an
// invalid_config that says what was looked for. What only Python can find out
// (a syntax error, a missing SDK) comes from the start of the worker.
package python
