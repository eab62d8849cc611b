package worker

import (
	"context"

	"github.com/snakepit-go/snakepit"
)

// Option changes a tool that [Func] or [Generator] makes.
type Option func(*Tool)

// Describe says what a tool does, for those who call it.
func Describe(text string) Option { return func(t *Tool) { t.Description = text } }

// Idempotent says that a tool may be run again after it may have run already.
func Idempotent() Option { return func(t *Tool) { t.Idempotent = true } }

// Input names the parameter that stands for the caller's chunks, which [Call.Recv] gives.
func Input(parameter string) Option { return func(t *Tool) { t.Input = parameter } }

// Func makes a tool of a function. Arguments are decoded into an In, a struct or a
// map with string keys, whose fields make the tool's schema; an argument that In
// has no field for is refused. A type that can't be arguments is found when the
// worker starts.
func Func[In, Out any](name string, fn func(ctx context.Context, c *Call, in In) (Out, error), opts ...Option) Tool {
	return tool(name, opts, func(ctx context.Context, c *Call) (any, error) {
		var in In
		if err := c.Args(&in); err != nil {
			return nil, err
		}
		return fn(ctx, c, in)
	}, snakepit.SchemaOf[In])
}

// Generator makes a tool that gives chunks with [Call.Send]. Otherwise it's as [Func].
func Generator[In any](name string, fn func(ctx context.Context, c *Call, in In) error, opts ...Option) Tool {
	t := tool(name, opts, func(ctx context.Context, c *Call) (any, error) {
		var in In
		if err := c.Args(&in); err != nil {
			return nil, err
		}
		return nil, fn(ctx, c, in)
	}, snakepit.SchemaOf[In])
	t.Stream = true
	return t
}

func tool(name string, opts []Option, run func(context.Context, *Call) (any, error), schema func() (string, error)) Tool {
	t := Tool{Name: name, Run: run}
	for _, opt := range opts {
		opt(&t)
	}
	var err error
	if t.InputSchema, err = schema(); err != nil {
		t.Run, t.bad = nil, err
	}
	return t
}
