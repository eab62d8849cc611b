package main

import (
	"context"
	"fmt"
	"os"

	"github.com/snakepit-go/snakepit/plugin/worker"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

type (
	valueArg struct{ Value any }
	sizeArg  struct{ Size int }
	dataArg  struct{ Data []byte }
	failArg  struct{ Message string }
	none     struct{}
)

// plainTools take arguments and give a result.
func plainTools() []worker.Tool {
	return []worker.Tool{
		worker.Func("echo", echo, worker.Describe("Gives its argument back."), worker.Idempotent()),
		worker.Func("blob", blob, worker.Describe("Gives so many bytes that show where they belong.")),
		worker.Func("sink", sink, worker.Describe("Counts the bytes of its argument.")),
		worker.Func("fail", fail, worker.Describe("Fails as a Python tool that raises a ValueError.")),
		worker.Func("say", say, worker.Describe("Writes to the host's log, in three ways.")),
		worker.Func("exit", exit, worker.Describe("Ends the process, as a crash would.")),
		worker.Func("about", about, worker.Describe("Tells what a tool knows of its call.")),
	}
}

func echo(_ context.Context, _ *worker.Call, in valueArg) (any, error) { return in.Value, nil }

func blob(_ context.Context, _ *worker.Call, in sizeArg) ([]byte, error) {
	return pattern(in.Size), nil
}

func sink(_ context.Context, _ *worker.Call, in dataArg) (int, error) { return len(in.Data), nil }

// pattern has at index i the value i modulo 251.
func pattern(n int) []byte {
	const period = 251
	b := make([]byte, n)
	for i := range min(n, period) {
		b[i] = byte(i)
	}
	for done := period; done < n; done *= 2 {
		copy(b[done:], b[:done])
	}
	return b
}

// fail gives an exception of its own making; any other error would do too, and
// would reach the caller with its Go type.
func fail(_ context.Context, _ *worker.Call, in failArg) (any, error) {
	e := errdefs.New(errdefs.PythonException, "ValueError: %s", in.Message)
	e.Exception = &errdefs.Exception{
		Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: in.Message, Notes: []string{"first", "second"},
	}
	return nil, e
}

// say shows that what a worker prints isn't lost: it's at debug level there, and
// what the logger writes keeps its level and its fields.
func say(_ context.Context, c *worker.Call, in valueArg) (any, error) {
	_, _ = fmt.Fprintln(os.Stdout, "printed:", in.Value)
	_, _ = fmt.Fprintln(os.Stderr, "complained:", in.Value)
	worker.Logger().Warn("logged", "value", in.Value, "session", sessionOf(c))
	return nil, nil
}

func exit(_ context.Context, _ *worker.Call, in struct{ Code int }) (any, error) {
	os.Exit(in.Code)
	return nil, nil
}

func about(_ context.Context, c *worker.Call, _ none) (map[string]any, error) {
	metadata := map[string]any{}
	for k, v := range c.Metadata() {
		metadata[k] = v
	}
	var remaining any
	if left, ok := c.Remaining(); ok {
		remaining = left.Seconds()
	}
	var epoch, home any
	if s := c.Session(); s != nil {
		epoch, home = s.Epoch, s.Home
	}
	return map[string]any{
		"tool": c.Tool(), "call_id": c.ID(), "session": sessionOf(c), "metadata": metadata, "remaining": remaining, "pid": os.Getpid(),
		"epoch": epoch, "home": home,
	}, nil
}

// sessionOf is the id of the caller's session; empty: none.
func sessionOf(c *worker.Call) string {
	if s := c.Session(); s != nil {
		return s.ID
	}
	return ""
}
