package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Adapter is what a worker serves.
type Adapter struct {
	Name  string // for status and errors; empty: the program's
	Slots int    // calls that run at once; zero: 1. The knob slots goes before it
	Tools []Tool
	// Setup prepares, once, before the first call; nil: nothing has to be. A host
	// waits for it, and its error is the worker's start_failed. ctx ends with the process.
	Setup func(ctx context.Context) error
	// Close tidies up, last of all, when the worker ends in order; nil: nothing.
	Close func()
	// Hooks hear of the sessions whose home the worker is.
	Hooks Hooks
}

// Tool is one function that can be called by name. [Func] and [Generator] make one
// of a Go function with types.
type Tool struct {
	Name         string // 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*
	Description  string // at most 4 KiB
	InputSchema  string // JSON Schema of the arguments, an object with a property for each
	OutputSchema string // of the result, or of each chunk; empty: unknown
	Stream       bool   // it sends chunks
	Input        string // the parameter that stands for the caller's chunks; empty: it takes none
	Idempotent   bool   // it may be run again after it may have run already
	// Run runs it and gives its result, which is encoded as proto/values says. It
	// must return soon after ctx is done: when the caller cancels, at the deadline,
	// and when the host is gone.
	Run func(ctx context.Context, c *Call) (any, error)

	bad error // why there's no Run
}

// maxSlots bounds what an adapter or the knob may ask for.
const maxSlots = 1024

// slotsVariable is how a host says how many calls it wants to run at once.
const slotsVariable = "SNAKEPIT_WORKER_SLOTS"

// check says what's wrong with an adapter before anything is served.
func (a *Adapter) check() error {
	if len(a.Tools) == 0 {
		return errdefs.New(errdefs.InvalidConfig, "the adapter has no tools")
	}
	seen := map[string]bool{}
	for _, t := range a.Tools {
		switch {
		case !names.Valid(t.Name):
			return errdefs.New(errdefs.InvalidToolName, "tool name %q isn't 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*", names.Cut(t.Name))
		case strings.HasPrefix(t.Name, reserved):
			return errdefs.New(errdefs.InvalidToolName, "tool %s: names that begin with %q are Snakepit's own", t.Name, reserved)
		case seen[t.Name]:
			return errdefs.New(errdefs.InvalidConfig, "two tools are named %s", t.Name)
		case t.bad != nil:
			return errdefs.Wrap(errdefs.InvalidConfig, t.bad, "tool %s", t.Name)
		case t.Run == nil:
			return errdefs.New(errdefs.InvalidConfig, "tool %s has no function", t.Name)
		case t.InputSchema != "" && !json.Valid([]byte(t.InputSchema)):
			return errdefs.New(errdefs.InvalidConfig, "tool %s: its schema isn't JSON", t.Name)
		}
		seen[t.Name] = true
	}
	if a.Slots < 0 || a.Slots > maxSlots {
		return errdefs.New(errdefs.InvalidConfig, "%d slots; 1 to %d are possible", a.Slots, maxSlots)
	}
	return nil
}

// slots is what the host wants, else what the adapter says, else one.
func (a *Adapter) slots() (int, error) {
	text := os.Getenv(slotsVariable)
	if text == "" {
		return max(a.Slots, 1), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxSlots {
		return 0, fmt.Errorf("%s=%q isn't a number from 1 to %d", slotsVariable, names.Cut(text), maxSlots)
	}
	return n, nil
}

// described are the tools as Describe tells of them.
func described(tools []Tool) []*snakepitv1.Tool {
	var out []*snakepitv1.Tool
	for _, t := range tools {
		out = append(out, &snakepitv1.Tool{
			Name: t.Name, Description: t.Description, InputSchema: t.InputSchema, OutputSchema: t.OutputSchema,
			Stream: t.Stream, InputStream: t.Input, Idempotent: t.Idempotent, Cancel: "cooperative",
		})
	}
	slices.SortFunc(out, func(a, b *snakepitv1.Tool) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}
