package snakepit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// open stands for embed.Start or client.Dial.
func open() snakepit.Caller { return newLoop() }

func ExampleHandle() {
	ctx, sp := context.Background(), open()
	type Order struct {
		Items []string `json:"items"`
	}
	type Verdict struct {
		OK bool `json:"ok"`
	}
	err := snakepit.Handle(ctx, sp, "validate", func(_ context.Context, in Order) (Verdict, error) {
		return Verdict{OK: len(in.Items) > 0}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict, err := snakepit.Call[Verdict](ctx, sp, "validate", Order{Items: []string{"apple"}})
	fmt.Println(verdict.OK, err)
	err = sp.Call(ctx, "validate", map[string]any{"itmes": 1}, nil)
	fmt.Println(err)
	// Output:
	// true <nil>
	// invalid_arguments: $.itmes: there's no such field
}

func ExampleCall() {
	ctx, sp := context.Background(), open()
	_, err := snakepit.Call[string](ctx, sp, "predict", map[string]any{"text": "hi"}, snakepit.Session("user-1"))
	if errors.Is(err, errdefs.ErrNotFound) {
		fmt.Println(errdefs.ReasonOf(err))
	}
	// Output: tool_not_found
}

func ExampleStream() {
	ctx, sp := context.Background(), open()
	_ = snakepit.Handle(ctx, sp, "count", func(_ context.Context, in struct{ To int }) ([]int, error) {
		return []int{1, 2, in.To}, nil
	})
	for n, err := range snakepit.Stream[int](ctx, sp, "count", map[string]any{"to": 3}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// 3
}
