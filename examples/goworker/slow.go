package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/snakepit-go/snakepit/plugin/worker"
)

type secondsArg struct{ Seconds float64 }

// slowTools take their time, and end when nobody wants them any more.
func slowTools() []worker.Tool {
	return []worker.Tool{
		worker.Func("sleep", sleep, worker.Describe("Gives seconds, after that time.")),
		worker.Func("spin", spin, worker.Describe("Works for ever, until it's cancelled.")),
		worker.Func("stubborn", stubborn, worker.Describe("Sleeps without noticing that it's cancelled.")),
		worker.Func("progress", progress, worker.Describe("Reports n steps, and gives n.")),
	}
}

func sleep(ctx context.Context, _ *worker.Call, in secondsArg) (float64, error) {
	t := time.NewTimer(time.Duration(in.Seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
		return in.Seconds, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// spin looks at its context in every round: a Go tool is cancelled by nothing else.
func spin(ctx context.Context, _ *worker.Call, _ none) (any, error) {
	for ctx.Err() == nil {
		runtime.Gosched()
	}
	return nil, ctx.Err()
}

// stubborn is what a tool should not be: the host kills its worker after cancel_grace.
func stubborn(ctx context.Context, c *worker.Call, in secondsArg) (float64, error) {
	return sleep(context.WithoutCancel(ctx), c, in)
}

func progress(_ context.Context, c *worker.Call, in countArg) (int, error) {
	for i := 1; i <= in.N; i++ {
		c.Progress(float64(i), float64(in.N), fmt.Sprintf("step %d", i))
	}
	return in.N, nil
}
