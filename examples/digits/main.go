// Command digits trains a classifier of handwritten digits in Python and shows
// from Go how well it does: two workers on a host inside this program, a stream
// with a chunk for each epoch, a session that keeps the model between two calls,
// and a Go function that Python calls to draw the result.
//
//	go run ./examples/digits
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/embed"
)

// options are what the flags say.
type options struct {
	python  string // the interpreter of an environment that has the SDK and scikit-learn
	adapter string
	out     string // where the picture goes
	epochs  int
}

// session ties the calls to the worker that has the model.
const session = "digits-example"

func main() {
	var o options
	flag.StringVar(&o.python, "python", ".venv/bin/python", "the `interpreter` that the workers run on")
	flag.StringVar(&o.adapter, "adapter", "examples/digits/digits.py", "the adapter's `file`")
	flag.StringVar(&o.out, "out", "out/confusion.png", "the `file` for the picture")
	flag.IntVar(&o.epochs, "epochs", 20, "how many times to go through the digits")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "digits:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) error {
	started := time.Now()
	say(w, "Starting two Python workers …\n")
	sp, err := embed.Start(ctx, embed.Config{Adapter: o.adapter, Workers: 2, Set: []string{"python=" + o.python}})
	if err != nil {
		return err
	}
	workers := pids(sp)
	say(w, "Ready after %.1f s: %s.\n\n", time.Since(started).Seconds(), processes(workers))
	err = trainAndShow(ctx, sp, o, w)
	workers = append(workers, pids(sp)...) // one may have been replaced
	if err := errors.Join(err, sp.Close()); err != nil {
		return err
	}
	return checkGone(w, workers)
}

func trainAndShow(ctx context.Context, sp snakepit.Caller, o options, w io.Writer) error {
	if err := snakepit.Handle(ctx, sp, "draw_matrix", drawTo(o.out)); err != nil {
		return err
	}
	if err := train(ctx, sp, o.epochs, w); err != nil {
		return err
	}
	var result evaluation
	if err := sp.Call(ctx, "evaluate", nil, &result, snakepit.Session(session)); err != nil {
		return err
	}
	say(w, "\nRight on %.1f %% of %d digits that it hasn't seen.\n\n", 100*result.Accuracy, result.Images)
	writeTable(w, result.Labels, result.Matrix)
	say(w, "\nThe same as a picture: %s\n", result.Picture)
	return nil
}

// epoch is a chunk of train.
type epoch struct {
	Epoch    int     `json:"epoch"`
	Epochs   int     `json:"epochs"`
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"train_accuracy"`
}

// evaluation is the result of evaluate.
type evaluation struct {
	Accuracy float64 `json:"accuracy"`
	Images   int     `json:"images"`
	Labels   []int   `json:"labels"`
	Matrix   [][]int `json:"matrix"`
	Picture  string  `json:"picture"`
}

func train(ctx context.Context, sp snakepit.Caller, epochs int, w io.Writer) error {
	bar := newBar(w)
	defer bar.end()
	args := map[string]any{"epochs": epochs}
	for e, err := range snakepit.Stream[epoch](ctx, sp, "train", args, snakepit.Session(session)) {
		if err != nil {
			return err
		}
		bar.show(e)
	}
	return nil
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
