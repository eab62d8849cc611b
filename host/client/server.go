package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// server is the one Serve stream of a client, with the functions that it offers.
// Its goroutine reads; calls run in goroutines of their own, which the host bounds.
type server struct {
	stream grpc.BidiStreamingClient[snakepitv1.ServeRequest, snakepitv1.ServeResponse]
	calls  sync.WaitGroup
	done   chan struct{} // closed when the stream has ended

	mu      sync.Mutex // guards the fields below
	tools   map[string]snakepit.HostTool
	offered map[string]chan error // gets the host's word
	running map[uint64]context.CancelFunc
	err     error // why the stream ended

	sending sync.Mutex // guards stream.Send, which takes one caller at a time
}

// Offer implements snakepit.Caller: the tool can be called for as long as this
// client is open and connected.
func (c *Client) Offer(ctx context.Context, tool snakepit.HostTool) error {
	s, err := c.serve() //nolint:contextcheck // the tools outlive the offer
	if err != nil {
		return err
	}
	ready, err := s.add(tool)
	if err != nil {
		return err
	}
	offer := &snakepitv1.HostTool{
		Tool:    &snakepitv1.Tool{Name: tool.Name, Description: tool.Description, InputSchema: tool.InputSchema},
		Exposed: !tool.Private,
	}
	if err := s.send(&snakepitv1.ServeRequest{Kind: &snakepitv1.ServeRequest_Offer{Offer: offer}}); err != nil && !errors.Is(err, io.EOF) {
		return err // EOF: the stream has ended, and why follows
	}
	select {
	case err := <-ready:
		return err
	case <-s.done:
		return s.why()
	case <-ctx.Done():
		return errdefs.Of(context.Cause(ctx))
	}
}

// serve opens the stream with the first offer, and again when it has ended.
func (c *Client) serve() (*server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil && !c.server.over() {
		return c.server, nil
	}
	stream, err := c.api.Serve(c.ctx())
	if err != nil {
		return nil, err
	}
	c.server = &server{
		stream: stream, done: make(chan struct{}), tools: map[string]snakepit.HostTool{},
		offered: map[string]chan error{}, running: map[uint64]context.CancelFunc{},
	}
	c.serving.Go(c.server.run)
	return c.server, nil
}

func (s *server) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *server) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *server) add(tool snakepit.HostTool) (<-chan error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.tools[tool.Name]; taken {
		return nil, errdefs.New(errdefs.Exists, "this client offers a tool %s already", tool.Name)
	}
	ready := make(chan error, 1)
	s.tools[tool.Name], s.offered[tool.Name] = tool, ready
	return ready, nil
}

func (s *server) send(r *snakepitv1.ServeRequest) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.stream.Send(r)
}

// run reads the stream until it ends, and returns when its calls have.
func (s *server) run() {
	ctx, cancel := context.WithCancel(s.stream.Context())
	defer s.calls.Wait()
	defer cancel()
	for {
		r, err := s.stream.Recv()
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			close(s.done)
			return
		}
		switch k := r.GetKind().(type) {
		case *snakepitv1.ServeResponse_Call:
			s.begin(ctx, k.Call)
		case *snakepitv1.ServeResponse_Cancel:
			s.cancel(k.Cancel)
		case *snakepitv1.ServeResponse_Offered:
			s.decide(k.Offered, nil)
		case *snakepitv1.ServeResponse_Refused:
			s.decide(k.Refused.GetName(), errdefs.FromProto(k.Refused.GetError()))
		}
	}
}

// decide tells who offered a tool what the host said.
func (s *server) decide(name string, refusal *errdefs.Error) {
	s.mu.Lock()
	ready := s.offered[name]
	delete(s.offered, name)
	if refusal != nil {
		delete(s.tools, name)
	}
	s.mu.Unlock()
	switch {
	case ready == nil:
	case refusal != nil:
		ready <- refusal
	default:
		ready <- nil
	}
}

func (s *server) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.running[id]; stop != nil {
		stop()
	}
}

func (s *server) begin(ctx context.Context, call *snakepitv1.ServeCall) {
	ctx, cancel := deadline(ctx, call.GetTimeoutUs())
	s.mu.Lock()
	tool := s.tools[call.GetTool()]
	s.running[call.GetId()] = cancel
	s.mu.Unlock()
	s.calls.Go(func() {
		defer cancel()
		result := answer(ctx, tool, call)
		s.mu.Lock()
		delete(s.running, call.GetId())
		s.mu.Unlock()
		_ = s.send(&snakepitv1.ServeRequest{Kind: &snakepitv1.ServeRequest_Result{Result: result}}) // fails only when the stream has ended
	})
}

func deadline(ctx context.Context, us uint64) (context.Context, context.CancelFunc) {
	if us == 0 {
		return context.WithCancel(ctx)
	}
	const most = 365 * 24 * time.Hour / time.Microsecond
	return context.WithTimeout(ctx, time.Duration(min(us, uint64(most)))*time.Microsecond) //nolint:gosec // bounded by the min
}

func answer(ctx context.Context, tool snakepit.HostTool, call *snakepitv1.ServeCall) *snakepitv1.ServeResult {
	if tool.Func == nil {
		return &snakepitv1.ServeResult{Id: call.GetId(), Error: errdefs.ToProto(errdefs.New(errdefs.ToolNotFound, "no host tool %s", call.GetTool()))}
	}
	out, err := run(ctx, tool, call.GetPayload())
	if err == nil && len(out) > maxPayload {
		out, err = nil, errdefs.New(errdefs.PayloadTooLarge, "the result of %s has %d bytes; at most %d", tool.Name, len(out), maxPayload)
	}
	return &snakepitv1.ServeResult{Id: call.GetId(), Payload: out, Error: errdefs.ToProto(err)}
}

// run calls the function. It recovers, as the host does for its own tools: a bug
// in the function must fail one call, not the program.
func run(ctx context.Context, tool snakepit.HostTool, args []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errdefs.New(errdefs.Internal, "host tool %s panicked: %.256s", tool.Name, fmt.Sprint(r))
		}
	}()
	return tool.Func(ctx, args)
}
