// Package errdefs is the one list of what can go wrong: each reason with its
// class and its gRPC code, and the error type that carries a reason with
// everything a caller needs to act on it.
//
// A class is what a caller would act on differently; test for it with
// errors.Is(err, errdefs.ErrUnavailable). A reason is what happened, more
// exactly; read it with [ReasonOf]. An *[Error] carries the rest: where it
// happened, whether the call may have run, the Python exception, how the process
// ended.
//
// The reasons stand in testdata/reasons.txt too, which the tests of both
// languages read.
//
// # Errors
//
// The package converts errors; it returns none of its own.
package errdefs
