package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/snakepit-go/snakepit/plugin/worker"
)

type (
	countArg struct{ N int }
	blobsArg struct {
		N    int
		Size int
	}
)

// streamTools give chunks, take them, or both at once.
func streamTools() []worker.Tool {
	return []worker.Tool{
		worker.Generator("count", count, worker.Describe("Yields the integers from 0 up to n.")),
		worker.Generator("blobs", blobs, worker.Describe("Yields n times what blob gives.")),
		worker.Func("sum", sum, worker.Describe("Adds up numbers, or the caller's chunks."), worker.Input("numbers")),
		worker.Generator("upper", upper, worker.Describe("Yields each of the caller's words in capitals, as it comes."), worker.Input("words")),
		worker.Generator("lengths", lengths, worker.Describe("Yields the length of each of the caller's byte strings."), worker.Input("parts")),
	}
}

func count(ctx context.Context, c *worker.Call, in countArg) error {
	for i := range in.N {
		if err := c.Send(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func blobs(ctx context.Context, c *worker.Call, in blobsArg) error {
	for range in.N {
		if err := c.Send(ctx, pattern(in.Size)); err != nil {
			return err
		}
	}
	return nil
}

// sum takes numbers as an argument too: who calls it from a shell has no chunks.
func sum(ctx context.Context, c *worker.Call, in struct {
	Numbers []int `json:"numbers,omitempty"`
},
) (int, error) {
	total := 0
	for _, n := range in.Numbers {
		total += n
	}
	err := each(ctx, c, func(n int) error {
		total += n
		return nil
	})
	return total, err
}

func upper(ctx context.Context, c *worker.Call, _ none) error {
	return each(ctx, c, func(word string) error { return c.Send(ctx, strings.ToUpper(word)) })
}

func lengths(ctx context.Context, c *worker.Call, _ none) error {
	return each(ctx, c, func(part []byte) error { return c.Send(ctx, len(part)) })
}

// each runs f for each of the caller's chunks.
func each[T any](ctx context.Context, c *worker.Call, f func(T) error) error {
	for {
		var v T
		err := c.Recv(ctx, &v)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
}
