package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// maxWaiting bounds the calls that wait for a slot: as many as a lane may have open.
const maxWaiting = 1024

// dispatcher runs calls, whichever way they come: at most as many at once as there
// are slots.
type dispatcher struct {
	tools  map[string]*Tool
	fences *fences
	slots  chan struct{} // holds a token for each call that runs

	mu       sync.Mutex // guards the fields below
	open     int        // calls that run or wait
	draining bool
	idle     []chan struct{} // closed when open is zero
}

func newDispatcher(tools []Tool, slots int) *dispatcher {
	d := &dispatcher{tools: map[string]*Tool{}, fences: newFences(maxFences), slots: make(chan struct{}, slots)}
	for _, t := range tools {
		d.tools[t.Name] = &t
	}
	return d
}

// run runs one call and gives its encoded result.
func (d *dispatcher) run(ctx context.Context, from caller) ([]byte, error) {
	t := d.tools[from.Request().Tool]
	if t == nil {
		return nil, errdefs.New(errdefs.ToolNotFound, "there is no tool %q", from.Request().Tool)
	}
	if err := d.fences.admit(from.Request()); err != nil {
		return nil, err
	}
	if err := d.admit(); err != nil {
		return nil, err
	}
	defer d.leave()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := d.fences.admit(from.Request()); err != nil { // a newer owner has come meanwhile
		return nil, err
	}
	c := &Call{from: from}
	value, err := t.call(ctx, c)
	if err != nil {
		return nil, raised(ctx, err)
	}
	return c.result(value, t.Stream)
}

func (d *dispatcher) admit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.draining:
		return errdefs.New(errdefs.Draining, "the worker takes no new calls")
	case d.open >= maxWaiting+cap(d.slots):
		return errdefs.New(errdefs.QueueFull, "%d calls are open, and the worker takes no more", d.open)
	}
	d.open++
	return nil
}

func (d *dispatcher) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.open > 0 {
		return
	}
	for _, ch := range d.idle {
		close(ch)
	}
	d.idle = nil
}

// drain takes no new calls, and gives a channel that is closed once none is left.
func (d *dispatcher) drain() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
	ch := make(chan struct{})
	if d.open == 0 {
		close(ch)
	} else {
		d.idle = append(d.idle, ch)
	}
	return ch
}

// reopen takes calls again: another host has come, which has asked for no drain.
func (d *dispatcher) reopen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = false
}

// call runs the function. A panic fails this call alone: those in the other slots
// have done nothing wrong.
func (t *Tool) call(ctx context.Context, c *Call) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = exception("panic", fmt.Sprint(r), string(debug.Stack()))
		}
	}()
	return t.Run(ctx, c)
}

// raised gives an error of the tool's own a reason. One that only says that the
// call was cancelled gets the cause of that.
func raised(ctx context.Context, err error) error {
	var known *errdefs.Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return context.Cause(ctx)
	}
	return exception(fmt.Sprintf("%T", err), err.Error(), "")
}

func exception(kind, message, traceback string) error {
	e := errdefs.New(errdefs.PythonException, "%s: %s", kind, message)
	e.Exception = &errdefs.Exception{Type: kind, Message: message, Traceback: traceback}
	return e
}
