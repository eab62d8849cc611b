package worker

import (
	"context"
	"errors"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// caller is the way back to whoever called: a lane, or one of the service's RPCs.
type caller interface {
	Request() lane.Request
	Recv(ctx context.Context) ([]byte, error)
	Send(ctx context.Context, payload []byte) error
	Progress(p lane.Progress)
	// Open calls a tool of the host's during the call.
	Open(ctx context.Context, req lane.Request) (*lane.Call, error)
}

// Call is one run of a tool, and what the tool can do beside returning a result.
type Call struct {
	from     caller
	list     []any // chunks for a caller that takes none
	gathered bool
	session  *Session
}

// Tool is the name that was called.
func (c *Call) Tool() string { return c.from.Request().Tool }

// ID is the engine's name for the call, for logs; it may be empty.
func (c *Call) ID() string { return c.from.Request().ID }

// Session is the caller's session, under which a worker may remember things; nil: none.
func (c *Call) Session() *Session {
	if r := c.from.Request(); c.session == nil && r.Session != "" {
		c.session = &Session{ID: r.Session, Home: !r.Away, Epoch: r.Epoch, call: c}
	}
	return c.session
}

// FencingToken is the session's epoch; zero without one. See [Session.Epoch].
func (c *Call) FencingToken() uint64 {
	if c.from.Request().Session == "" {
		return 0
	}
	return c.from.Request().Epoch
}

// Metadata came with the call: W3C trace context and the like.
func (c *Call) Metadata() map[string]string { return c.from.Request().Metadata }

// Remaining is the time until the deadline; false: there's none.
func (c *Call) Remaining() (time.Duration, bool) {
	d := c.from.Request().Deadline
	return time.Until(d), !d.IsZero()
}

// Args decodes the arguments into a pointer to a struct, whose fields must be
// those of the call, or to a map.
func (c *Call) Args(out any) error { return snakepit.DecodeArgs(c.from.Request().Payload, out) }

// Send gives one chunk. It blocks while the caller doesn't read, and fails when
// the call is cancelled. A caller that takes no chunks gets a list of them all in the end.
func (c *Call) Send(ctx context.Context, chunk any) error {
	c.gathered = true
	if !c.from.Request().Stream {
		c.list = append(c.list, chunk)
		return ctx.Err()
	}
	payload, err := values.Encode(chunk)
	if err != nil {
		return invalidResult(err)
	}
	return c.from.Send(ctx, payload)
}

// Recv decodes the caller's next chunk into a pointer. It blocks until there is
// one, and gives io.EOF after the last.
func (c *Call) Recv(ctx context.Context, out any) error {
	payload, err := c.from.Recv(ctx)
	if err != nil {
		return err
	}
	if err := values.Decode(payload, out); err != nil {
		return errdefs.Wrap(errdefs.InvalidArguments, err, "a chunk")
	}
	return nil
}

// Progress reports how far the call has come; total zero means that it isn't
// known. It never blocks, and reports may be dropped. Any goroutine may call it.
func (c *Call) Progress(done, total float64, message string) {
	c.from.Progress(lane.Progress{Done: done, Total: total, Message: message})
}

// Host calls a tool of the host's, as part of this call, and decodes its result
// into out, a pointer, or nil to discard it.
func (c *Call) Host(ctx context.Context, tool string, in, out any) error {
	args, err := snakepit.EncodeArgs(in)
	if err != nil {
		return err
	}
	call, err := c.from.Open(ctx, lane.Request{Tool: tool, Payload: args, Deadline: c.from.Request().Deadline})
	if err != nil {
		return err
	}
	for {
		m, err := call.Recv(ctx)
		if err != nil {
			call.Cancel(err) // it may have ended
			return err
		}
		if m.Last {
			return snakepit.DecodeResult(m.Payload, out)
		}
	}
}

// result is what the call ends with: nothing where chunks were sent.
func (c *Call) result(value any, stream bool) ([]byte, error) {
	if c.gathered || stream {
		if c.from.Request().Stream {
			return nil, nil
		}
		value = append([]any{}, c.list...) // never nil: no chunks are an empty list
	}
	payload, err := values.Encode(value)
	if err != nil {
		return nil, invalidResult(err)
	}
	return payload, nil
}

func invalidResult(err error) error {
	e := errdefs.Wrap(errdefs.InvalidResult, err, "what the tool gave can't be encoded")
	var bad *values.Error
	if errors.As(err, &bad) {
		e.Path = bad.Path
	}
	return e
}
