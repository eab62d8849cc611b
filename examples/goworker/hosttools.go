package main

import (
	"context"

	"github.com/snakepit-go/snakepit/plugin/worker"
)

// hostTools call back.
func hostTools() []worker.Tool {
	return []worker.Tool{worker.Func("call_back", callBack, worker.Describe("Calls a tool of the host's and gives its result."))}
}

func callBack(ctx context.Context, c *worker.Call, in struct {
	Tool  string
	Value any
},
) (any, error) {
	var out any
	err := c.Host(ctx, in.Tool, map[string]any{"value": in.Value}, &out)
	return out, err
}
