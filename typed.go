package snakepit

import (
	"context"
	"fmt"
	"iter"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// Call runs a tool and returns its result as an Out.
func Call[Out any](ctx context.Context, sp Caller, tool string, in any, opts ...CallOption) (Out, error) {
	var out Out
	err := sp.Call(ctx, tool, in, &out, opts...)
	return out, err
}

// Stream runs a tool and returns its chunks as Outs.
func Stream[Out any](ctx context.Context, sp Caller, tool string, in any, opts ...CallOption) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for chunk, err := range sp.Stream(ctx, tool, in, opts...) {
			var out Out
			if err == nil {
				err = chunk.Decode(&out)
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}

// HandleOption changes one host tool.
type HandleOption func(*HostTool)

// Describe says what a host tool does, for those who call it.
func Describe(text string) HandleOption { return func(t *HostTool) { t.Description = text } }

// Private hides a host tool from Python: only Go callers can call it.
func Private() HandleOption { return func(t *HostTool) { t.Private = true } }

// Handle offers a Go function as a host tool. Arguments are decoded into an In, a
// struct or a map with string keys, whose fields make the tool's schema; an
// argument that In has no field for is refused. It blocks until the tool can be called.
func Handle[In, Out any](ctx context.Context, sp Caller, name string, fn func(context.Context, In) (Out, error), opts ...HandleOption) error {
	schema, err := SchemaOf[In]()
	if err != nil {
		return fmt.Errorf("host tool %s: %w", name, err)
	}
	tool := HostTool{
		Name: name, InputSchema: schema,
		Func: func(ctx context.Context, args []byte) ([]byte, error) {
			var in In
			if err := DecodeArgs(args, &in); err != nil {
				return nil, err
			}
			out, err := fn(ctx, in)
			if err != nil {
				return nil, err
			}
			return values.Encode(out)
		},
	}
	for _, opt := range opts {
		opt(&tool)
	}
	return sp.Offer(ctx, tool)
}

// EncodeArgs encodes the arguments of a call: a struct or a map with string keys;
// nil means none.
func EncodeArgs(in any) ([]byte, error) {
	if in == nil {
		in = map[string]any{}
	}
	args, err := values.Encode(in)
	if err != nil {
		return nil, invalidArguments(err)
	}
	if !isMap(args) {
		return nil, errdefs.New(errdefs.InvalidArguments, "arguments of type %T; give a struct or a map with string keys", in)
	}
	return args, nil
}

// isMap reports whether a msgpack value is a map: fixmap, map 16 or map 32.
func isMap(b []byte) bool {
	return len(b) > 0 && (b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf)
}
