package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
	"github.com/snakepit-go/snakepit/proto/values"
)

// Call implements snakepit.Caller.
func (c *Client) Call(ctx context.Context, tool string, in, out any, opts ...snakepit.CallOption) error {
	args, err := snakepit.EncodeArgs(in)
	if err != nil {
		return err
	}
	result, err := c.CallRaw(ctx, tool, Payload{Data: args}, opts...)
	if err != nil {
		return err
	}
	return snakepit.DecodeResult(result, out)
}

// Payload is arguments that are encoded already.
type Payload struct {
	Data        []byte
	ContentType string // "application/msgpack" (also when empty) or "application/json"
}

// CallRaw is Call for arguments that are encoded already; the result is encoded
// in the same way.
func (c *Client) CallRaw(ctx context.Context, tool string, args Payload, opts ...snakepit.CallOption) ([]byte, error) {
	o := snakepit.Apply(opts)
	ctx, cancel := bound(ctx, o)
	defer cancel()
	if o.Input == nil && o.OnProgress == nil {
		r, err := c.api.Call(ctx, &snakepitv1.HostCallRequest{Invocation: invocationOf(tool, args.ContentType, o), Payload: args.Data})
		return r.GetPayload(), err
	}
	return c.callByStream(ctx, tool, args, o)
}

// callByStream is a call with chunks or progress, which a unary one has no place for.
func (c *Client) callByStream(ctx context.Context, tool string, args Payload, o snakepit.CallOptions) ([]byte, error) {
	s, err := c.open(ctx, tool, args, o, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for {
		m, err := s.next() //nolint:contextcheck // the stream has its own
		if err != nil {
			return nil, err
		}
		if r, ok := m.GetKind().(*snakepitv1.HostStreamResponse_Result); ok {
			return r.Result, nil
		}
	}
}

// Stream implements snakepit.Caller.
func (c *Client) Stream(ctx context.Context, tool string, in any, opts ...snakepit.CallOption) iter.Seq2[snakepit.Chunk, error] {
	return func(yield func(snakepit.Chunk, error) bool) {
		args, err := snakepit.EncodeArgs(in)
		if err != nil {
			yield(snakepit.Chunk{}, err)
			return
		}
		for raw, err := range c.StreamRaw(ctx, tool, Payload{Data: args}, opts...) {
			if !yield(snakepit.NewChunk(raw), err) {
				return
			}
		}
	}
}

// StreamRaw is Stream for arguments that are encoded already; the chunks are
// encoded in the same way.
func (c *Client) StreamRaw(ctx context.Context, tool string, args Payload, opts ...snakepit.CallOption) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o := snakepit.Apply(opts)
		ctx, cancel := bound(ctx, o)
		defer cancel()
		s, err := c.open(ctx, tool, args, o, true)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.close()
		s.each(yield) //nolint:contextcheck // the stream has its own
	}
}

func bound(ctx context.Context, o snakepit.CallOptions) (context.Context, context.CancelFunc) {
	if o.Timeout > 0 {
		return context.WithTimeout(ctx, o.Timeout)
	}
	return context.WithCancel(ctx)
}

// stream is one call over a stream. Its input is sent by a goroutine of its own,
// which ends before close returns.
type stream struct {
	grpc.BidiStreamingClient[snakepitv1.HostStreamRequest, snakepitv1.HostStreamResponse]

	onProgress func(snakepit.Progress)
	cancel     context.CancelCauseFunc
	input      sync.WaitGroup
	first      *snakepitv1.HostStreamResponse // read already; nil: none is
}

// open begins a call over a stream. Among several nodes it waits for the first answer
// where it may be that another has to be asked.
func (c *Client) open(ctx context.Context, tool string, args Payload, o snakepit.CallOptions, chunks bool) (*stream, error) {
	if c.fleet == nil {
		return c.openOnce(ctx, tool, args, o, chunks)
	}
	ctx = withSession(ctx, o.Session)
	if o.Input != nil { // a chunk that was taken can't be taken again
		return c.openOnce(ctx, tool, args, o, chunks)
	}
	return c.openSomewhere(ctx, tool, args, o, chunks)
}

// openSomewhere begins a call on the first node that takes it.
func (c *Client) openSomewhere(ctx context.Context, tool string, args Payload, o snakepit.CallOptions, chunks bool) (*stream, error) {
	seeking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		s, err := c.openOnce(ctx, tool, args, o, chunks)
		if err == nil {
			if s.first, err = s.Recv(); err == nil {
				return s, nil
			}
			s.close()
		}
		if !passing(err, o.Idempotent) {
			return nil, s.explain(err) //nolint:contextcheck // the stream has its own
		}
		if !pause(seeking, wait) {
			return nil, inVain(seeking, err)
		}
	}
}

func (c *Client) openOnce(ctx context.Context, tool string, args Payload, o snakepit.CallOptions, chunks bool) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	raw, err := c.api.Stream(ctx)
	if err == nil {
		err = raw.Send(&snakepitv1.HostStreamRequest{Kind: &snakepitv1.HostStreamRequest_Open{Open: &snakepitv1.HostStreamOpen{
			Invocation: invocationOf(tool, args.ContentType, o), Payload: args.Data, Input: o.Input != nil, Gather: !chunks,
		}}})
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the host refused it, and Recv tells why
		cancel(err)
		return nil, err
	}
	s := &stream{BidiStreamingClient: raw, onProgress: o.OnProgress, cancel: cancel}
	if o.Input != nil {
		s.input.Go(func() { s.send(o.Input, args.ContentType) })
	} else {
		_ = s.CloseSend() // an error shows at the next Recv
	}
	return s, nil
}

// send feeds the tool. What goes wrong with the sequence itself ends the call.
func (s *stream) send(chunks iter.Seq2[any, error], contentType string) {
	for chunk, err := range chunks {
		var payload []byte
		if err == nil {
			payload, err = encode(chunk, contentType)
		}
		if err != nil {
			s.cancel(&inputError{err})
			return
		}
		if s.Send(&snakepitv1.HostStreamRequest{Kind: &snakepitv1.HostStreamRequest_Chunk{Chunk: payload}}) != nil {
			return // the stream has ended; Recv tells why
		}
	}
	_ = s.CloseSend() // an error shows at the next Recv
}

func encode(chunk any, contentType string) ([]byte, error) {
	payload, err := values.Encode(chunk)
	if err == nil && contentType == "application/json" {
		payload, err = values.ToJSON(payload)
	}
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "a chunk")
	}
	return payload, nil
}

// inputError marks a call that ended because its input went wrong.
type inputError struct{ err error }

func (e *inputError) Error() string { return "input of the call: " + e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

// next gives the next chunk or result; progress goes to the option's function.
func (s *stream) next() (*snakepitv1.HostStreamResponse, error) {
	for {
		m, err := s.first, error(nil)
		if s.first = nil; m == nil {
			m, err = s.Recv()
		}
		if err != nil {
			return nil, s.explain(err)
		}
		p := m.GetProgress()
		if p == nil {
			return m, nil
		}
		if s.onProgress != nil {
			s.onProgress(progressOf(p))
		}
	}
}

// explain says why a stream has ended without a result.
func (s *stream) explain(err error) error {
	var bad *inputError
	switch {
	case s != nil && errors.As(context.Cause(s.Context()), &bad):
		return bad
	case errors.Is(err, io.EOF):
		return errdefs.New(errdefs.Protocol, "the host ended the stream without a result")
	}
	return err
}

// each yields chunks until the result, which is one more when the tool returned
// a value instead of yielding.
func (s *stream) each(yield func([]byte, error) bool) {
	for {
		m, err := s.next()
		if err != nil {
			yield(nil, err)
			return
		}
		if r, ok := m.GetKind().(*snakepitv1.HostStreamResponse_Result); ok {
			if len(r.Result) > 0 {
				yield(r.Result, nil)
			}
			return
		}
		if !yield(m.GetChunk(), nil) {
			return
		}
	}
}

func (s *stream) close() {
	s.cancel(nil)
	s.input.Wait()
}
