package embed

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/values"
)

var _ snakepit.Caller = (*Host)(nil)

// Call implements snakepit.Caller.
func (h *Host) Call(ctx context.Context, tool string, in, out any, opts ...snakepit.CallOption) error {
	o := snakepit.Apply(opts)
	ctx, cancel := bound(ctx, o)
	defer cancel()
	c, err := h.open(ctx, tool, in, o, false)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		m, err := c.recv(ctx)
		if err != nil {
			return err
		}
		if m.Last {
			return snakepit.DecodeResult(m.Payload, out)
		}
	}
}

// Stream implements snakepit.Caller.
func (h *Host) Stream(ctx context.Context, tool string, in any, opts ...snakepit.CallOption) iter.Seq2[snakepit.Chunk, error] {
	return func(yield func(snakepit.Chunk, error) bool) {
		o := snakepit.Apply(opts)
		ctx, cancel := bound(ctx, o)
		defer cancel()
		c, err := h.open(ctx, tool, in, o, true)
		if err != nil {
			yield(snakepit.Chunk{}, err)
			return
		}
		defer c.close()
		c.each(ctx, yield)
	}
}

// Offer implements snakepit.Caller.
func (h *Host) Offer(_ context.Context, tool snakepit.HostTool) error {
	_, err := h.engine.Offer(host.HostTool{
		Tool:    host.Tool{Name: tool.Name, Description: tool.Description, InputSchema: tool.InputSchema},
		Exposed: !tool.Private,
		Func:    tool.Func,
	})
	return err
}

// Tools implements snakepit.Caller.
func (h *Host) Tools(context.Context) ([]snakepit.Tool, error) {
	var tools []snakepit.Tool
	for _, t := range h.engine.Tools("") {
		tools = append(tools, snakepit.Tool{
			Name: t.Name, Pool: t.Pool, Description: t.Description, InputSchema: t.InputSchema, OutputSchema: t.OutputSchema,
			Stream: t.Stream, InputStream: t.InputStream, Idempotent: t.Idempotent,
		})
	}
	return tools, nil
}

func bound(ctx context.Context, o snakepit.CallOptions) (context.Context, context.CancelFunc) {
	if o.Timeout > 0 {
		return context.WithTimeout(ctx, o.Timeout)
	}
	return context.WithCancel(ctx)
}

// call is one call with its caller's options; its input is sent by a goroutine of
// its own, which ends before close returns.
type call struct {
	*host.Call
	onProgress func(snakepit.Progress)
	input      sync.WaitGroup
	cancel     context.CancelCauseFunc // of the input
	inputErr   chan error
}

func (h *Host) open(ctx context.Context, tool string, in any, o snakepit.CallOptions, stream bool) (*call, error) {
	args, err := snakepit.EncodeArgs(in)
	if err != nil {
		return nil, err
	}
	hc, err := h.engine.Open(ctx, host.Request{
		Tool: tool, Payload: args, Pool: o.Pool, Session: host.SessionID(o.Session), MustExist: o.MustExist,
		Idempotent: o.Idempotent, Stream: stream, Input: o.Input != nil, Metadata: o.Metadata,
		Caller: o.Caller, Priority: host.Priority(o.Priority), Affinity: host.Affinity(o.Affinity), Concurrent: o.Concurrent, Availability: host.Availability(o.Availability),
	})
	if err != nil {
		return nil, err
	}
	c := &call{Call: hc, onProgress: o.OnProgress, inputErr: make(chan error, 1)}
	inputCtx, cancel := context.WithCancelCause(ctx)
	c.cancel = cancel
	if o.Input != nil {
		c.input.Go(func() { c.send(inputCtx, o.Input) })
	}
	return c, nil
}

// send feeds the tool. What goes wrong with the sequence itself ends the call;
// what goes wrong with the call is the reader's to tell.
func (c *call) send(ctx context.Context, chunks iter.Seq2[any, error]) {
	for chunk, err := range chunks {
		var payload []byte
		if err == nil {
			payload, err = values.Encode(chunk)
		}
		if err != nil {
			c.inputErr <- err
			c.Close()
			return
		}
		if c.Send(ctx, payload) != nil {
			return
		}
	}
	_ = c.CloseSend() // fails only when the call has ended
}

// recv gives the next chunk or result; progress goes to the option's function.
func (c *call) recv(ctx context.Context) (host.Message, error) {
	for {
		m, err := c.Recv(ctx)
		if err != nil {
			select {
			case inputErr := <-c.inputErr:
				err = errors.Join(inputErr, err)
			default:
			}
			return m, err
		}
		if m.Progress == nil {
			return m, nil
		}
		if c.onProgress != nil {
			c.onProgress(snakepit.Progress{Done: m.Progress.Done, Total: m.Progress.Total, Message: m.Progress.Message})
		}
	}
}

// each yields the chunks. A tool that returns instead of yielding gives its
// result as the one chunk.
func (c *call) each(ctx context.Context, yield func(snakepit.Chunk, error) bool) {
	for {
		m, err := c.recv(ctx)
		if err != nil {
			yield(snakepit.Chunk{}, err)
			return
		}
		if m.Last && len(m.Payload) == 0 {
			return
		}
		if !yield(snakepit.NewChunk(m.Payload), nil) || m.Last {
			return
		}
	}
}

func (c *call) close() {
	c.Close()
	c.cancel(nil)
	c.input.Wait()
}
