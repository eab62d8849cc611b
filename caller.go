// Package snakepit runs Python tools from Go. It holds what the two doors share:
// host/embed, which runs a host inside the program, and host/client, which talks
// to one over a socket. Both give a [Caller].
//
//	var out Prediction
//	err := sp.Call(ctx, "predict", Input{Text: "hi"}, &out, snakepit.Session("user-1"))
//
//	for chunk, err := range sp.Stream(ctx, "train", cfg) { … }
//
//	err := snakepit.Handle(ctx, sp, "validate", func(ctx context.Context, in Order) (Verdict, error) { … })
//
// Arguments are a struct or a map with string keys; fields are named by their
// json tag, else msgpack tag, else by their own name. Results are decoded into whatever pointer is given
// (proto/values says how each type travels).
//
// # Errors
//
// Errors are *errdefs.Error values: errors.Is finds the class, errdefs.ReasonOf
// the reason, and a Python exception is in the Exception field.
package snakepit

import (
	"context"
	"iter"
	"time"
)

// Caller calls tools. It's safe for concurrent use.
type Caller interface {
	// Call runs a tool and decodes its result into out, a pointer, or nil to
	// discard it. It blocks until the result is there or ctx is done; without a
	// deadline in ctx the host's call_timeout applies.
	Call(ctx context.Context, tool string, in, out any, opts ...CallOption) error
	// Stream runs a tool that yields chunks. Leaving the loop early cancels the
	// tool. A reader that waits holds the tool back, and nothing piles up. An
	// error is the last thing that the sequence gives.
	Stream(ctx context.Context, tool string, in any, opts ...CallOption) iter.Seq2[Chunk, error]
	// Offer makes a function callable by tools, as a host tool. Use [Handle],
	// which fills in types. The name is free again when the caller is closed.
	Offer(ctx context.Context, tool HostTool) error
	// Tools lists what can be called, sorted by name.
	Tools(ctx context.Context) ([]Tool, error)
	// Close ends the caller, and with host/embed the whole host.
	Close() error
}

// Tool is a tool that can be called.
type Tool struct {
	Name         string `json:"name"`
	Pool         string `json:"pool"` // empty: a host tool
	Description  string `json:"description"`
	InputSchema  string `json:"-"` // JSON Schema
	OutputSchema string `json:"-"` // JSON Schema; empty: unknown
	Stream       bool   `json:"stream"`
	InputStream  string `json:"input_stream,omitempty"` // the parameter that takes chunks
	Idempotent   bool   `json:"idempotent"`
}

// HostTool is a Go function that tools can call.
type HostTool struct {
	Name        string
	Description string
	InputSchema string // JSON Schema of its arguments
	Private     bool   // Python can't call it; only Go callers can
	// Func runs it: args and result are msgpack. It may be called from any number
	// of goroutines; ctx ends with the call.
	Func func(ctx context.Context, args []byte) ([]byte, error)
}

// Chunk is one chunk of a stream.
type Chunk struct {
	raw []byte
}

// Progress is how far a call has come.
type Progress struct {
	Done, Total float64 // in the tool's own unit; Total 0: unknown
	Message     string
}

// CallOption changes one call.
type CallOption func(*CallOptions)

// CallOptions is what options set; it's exported for those who implement [Caller].
type CallOptions struct {
	Pool       string
	Session    string
	MustExist  bool
	Idempotent bool
	Timeout    time.Duration
	Metadata   map[string]string
	Caller     string // who calls; empty: the session, else the connection, else nobody in particular
	Priority   int    // -1, 0 or 1
	Affinity   string // empty: the session's
	Concurrent bool   // of the session, where this call opens it
	// Availability is the session's, where this call opens it: "strict" or "local"; empty: strict.
	Availability string
	Input        iter.Seq2[any, error] // the caller's chunks; nil: none
	OnProgress   func(Progress)
}
