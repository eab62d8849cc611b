package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
	"github.com/snakepit-go/snakepit/proto/values"
)

// workerServer serves snakepit.v1.Worker.
type workerServer struct {
	snakepitv1.UnimplementedWorkerServer

	name    string
	tools   []Tool
	slots   int
	hooks   []string // those that the adapter has
	calls   *dispatcher
	host    attached
	address string // of the local carrier's socket; empty: none

	ready  chan struct{} // closed when the adapter is set up, or can't be
	failed error         // why it can't; valid after ready
}

// wait waits until the adapter is set up.
func (s *workerServer) wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return errdefs.ToStatus(s.failed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Describe implements snakepitv1.WorkerServer.
func (s *workerServer) Describe(ctx context.Context, _ *snakepitv1.DescribeRequest) (*snakepitv1.DescribeResponse, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	capabilities := []string{"lane/grpc"}
	if s.address != "" {
		capabilities = append(capabilities, "lane/local")
	}
	capabilities = append(capabilities, s.hooks...)
	return &snakepitv1.DescribeResponse{
		Adapter: s.name, Tools: described(s.tools), SdkVersion: version(), Runtime: "go",
		RuntimeVersion: strings.TrimPrefix(runtime.Version(), "go"), Slots: uint32(s.slots), //nolint:gosec // at most 1024
		Capabilities: capabilities, Pid: int32(os.Getpid()), //nolint:gosec // the system's pids fit
	}, nil
}

// Attach implements snakepitv1.WorkerServer.
func (s *workerServer) Attach(ctx context.Context, r *snakepitv1.AttachRequest) (*snakepitv1.AttachResponse, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	token, replaced, err := s.host.attach(r)
	if err != nil {
		return nil, errdefs.ToStatus(err)
	}
	if replaced {
		s.calls.reopen()
	}
	return &snakepitv1.AttachResponse{LaneToken: token, LaneAddress: s.address}, nil
}

// Call implements snakepitv1.WorkerServer.
func (s *workerServer) Call(ctx context.Context, r *snakepitv1.WorkerCallRequest) (*snakepitv1.WorkerCallResponse, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	payload, err := s.rpc(ctx, r, nil)
	return &snakepitv1.WorkerCallResponse{Payload: payload}, errdefs.ToStatus(err)
}

// Stream implements snakepitv1.WorkerServer.
func (s *workerServer) Stream(r *snakepitv1.WorkerStreamRequest, out grpc.ServerStreamingServer[snakepitv1.WorkerStreamResponse]) error {
	if err := s.wait(out.Context()); err != nil {
		return err
	}
	send := func(payload []byte) error { return out.Send(&snakepitv1.WorkerStreamResponse{Payload: payload}) }
	payload, err := s.rpc(out.Context(), r, send)
	if err == nil && len(payload) > 0 { // of a tool that gives no chunks
		err = send(payload)
	}
	return errdefs.ToStatus(err)
}

// Lane implements snakepitv1.WorkerServer: the portable carrier.
func (s *workerServer) Lane(stream grpc.BidiStreamingServer[snakepitv1.LaneRequest, snakepitv1.LaneResponse]) error {
	if err := s.wait(stream.Context()); err != nil {
		return err
	}
	return errdefs.ToStatus(s.serveLane(stream.Context(), lane.ServerStream(stream)))
}

// Drain implements snakepitv1.WorkerServer.
func (s *workerServer) Drain(ctx context.Context, _ *snakepitv1.DrainRequest) (*snakepitv1.DrainResponse, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	idle := s.calls.drain()
	if l, err := s.host.current(); err == nil {
		l.Drain()
	}
	select {
	case <-idle:
		return &snakepitv1.DrainResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// request is what Call and Stream are asked with.
type request interface {
	GetTool() string
	GetPayload() []byte
	GetContentType() string
	GetSession() string
	GetMetadata() map[string]string
}

// rpc runs a tool for a caller without a lane.
func (s *workerServer) rpc(ctx context.Context, r request, send func([]byte) error) ([]byte, error) {
	c := &rpcCaller{service: s, send: send, json: r.GetContentType() == jsonType}
	c.request = lane.Request{Tool: r.GetTool(), Session: r.GetSession(), Payload: r.GetPayload(), Metadata: r.GetMetadata(), Stream: send != nil}
	c.request.Deadline, _ = ctx.Deadline()
	if !c.json {
		if t := r.GetContentType(); t != "" && t != msgpackType {
			return nil, errdefs.New(errdefs.InvalidArguments, "content type %q is neither %s nor %s", t, msgpackType, jsonType)
		}
		return s.calls.run(ctx, c)
	}
	args, err := values.FromJSON(r.GetPayload())
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "arguments")
	}
	c.request.Payload = args
	payload, err := s.calls.run(ctx, c)
	if err != nil || len(payload) == 0 {
		return nil, err
	}
	return values.ToJSON(payload)
}

const (
	msgpackType = "application/msgpack"
	jsonType    = "application/json"
)

// rpcCaller is who called by Call or Stream.
type rpcCaller struct {
	service *workerServer
	request lane.Request
	send    func([]byte) error
	json    bool
}

func (c *rpcCaller) Request() lane.Request { return c.request }

func (c *rpcCaller) Recv(context.Context) ([]byte, error) { return nil, io.EOF }

func (c *rpcCaller) Send(ctx context.Context, payload []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.json {
		text, err := values.ToJSON(payload)
		if err != nil {
			return err
		}
		payload = text
	}
	return c.send(payload)
}

func (c *rpcCaller) Progress(lane.Progress) {}

func (c *rpcCaller) Open(ctx context.Context, req lane.Request) (*lane.Call, error) {
	l, err := c.service.host.current()
	if err != nil {
		return nil, err
	}
	return l.Open(ctx, req)
}

// version is this module's, as the linker knows it.
func version() string {
	const module = "github.com/snakepit-go/snakepit"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "" {
			return m.Version
		}
	}
	return "devel"
}

var errClosed = errors.New("the worker ends")
