package snakepit

import (
	"iter"
	"time"
)

// Apply folds options into one value, for those who implement [Caller].
func Apply(opts []CallOption) CallOptions {
	var o CallOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Pool names the pool that runs the call. Without it the call goes where the tool is.
func Pool(name string) CallOption { return func(o *CallOptions) { o.Pool = name } }

// Session names the session that the call belongs to. One that doesn't exist is
// opened. Calls of a session run one at a time, on the same worker where possible.
func Session(id string) CallOption { return func(o *CallOptions) { o.Session = id } }

// Concurrent has a session that this call opens run its calls beside each other
// instead of one at a time. For one that is there already it means nothing.
func Concurrent() CallOption { return func(o *CallOptions) { o.Concurrent = true } }

// Local ties a session that this call opens to the node that it's opened on: it goes on
// there when that node is cut off from the others, but for changes of its state, and
// nobody takes it over when that node is down. For one that is there already, and on a
// host by itself, it means nothing.
func Local() CallOption { return func(o *CallOptions) { o.Availability = "local" } }

// Affinity says what becomes of a session's call when its worker is busy: with
// "hint" any other runs it, with "strict_queue" it waits, with "strict_fail_fast" it
// fails with worker_busy. With a strict one it fails with
// session_worker_unavailable when the worker is gone. The call that opens a session
// gives the session its affinity; without this option the pool's is taken. Later calls may only be stricter.
func Affinity(affinity string) CallOption { return func(o *CallOptions) { o.Affinity = affinity } }

// As names who calls, in at most 256 bytes: callers share a pool's slots fairly,
// whatever each of them has waiting. Without it a session is a caller of its own,
// and so is each connection of host/client.
func As(caller string) CallOption { return func(o *CallOptions) { o.Caller = caller } }

// Priority is 1 for a call that goes before others, and -1 for one that lets others
// go first, though not for ever. Zero is as usual.
func Priority(p int) CallOption { return func(o *CallOptions) { o.Priority = p } }

// MustExist makes a call fail with session_not_found instead of opening its session.
func MustExist() CallOption { return func(o *CallOptions) { o.MustExist = true } }

// Idempotent says that the call may be run again after it may have run already.
func Idempotent() CallOption { return func(o *CallOptions) { o.Idempotent = true } }

// Timeout bounds the call, beside its context's deadline; zero means no bound of its own.
func Timeout(d time.Duration) CallOption { return func(o *CallOptions) { o.Timeout = d } }

// Metadata goes along with the call: W3C trace context and the like, at most 16
// entries and 4 KiB.
func Metadata(m map[string]string) CallOption { return func(o *CallOptions) { o.Metadata = m } }

// Input sends chunks to a tool that takes them. An error in the sequence cancels
// the call and becomes its error. The tool's reading paces the sequence.
func Input[T any](chunks iter.Seq2[T, error]) CallOption {
	return func(o *CallOptions) {
		o.Input = func(yield func(any, error) bool) {
			for c, err := range chunks {
				if !yield(c, err) {
					return
				}
			}
		}
	}
}

// InputOf is [Input] for chunks that are all there already.
func InputOf[T any](chunks ...T) CallOption {
	return Input(func(yield func(T, error) bool) {
		for _, c := range chunks {
			if !yield(c, nil) {
				return
			}
		}
	})
}

// OnProgress is called with the tool's progress reports, between messages and in
// the goroutine that reads them. Reports may be dropped.
func OnProgress(fn func(Progress)) CallOption { return func(o *CallOptions) { o.OnProgress = fn } }
