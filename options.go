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
