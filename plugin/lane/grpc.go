package lane

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// ClientStream carries frames over the host's end of the stream Worker.Lane.
// cancel ends the context that the stream was opened with.
func ClientStream(s grpc.BidiStreamingClient[snakepitv1.LaneRequest, snakepitv1.LaneResponse], cancel context.CancelFunc) Carrier {
	return &clientStream{stream: s, cancel: cancel}
}

type clientStream struct {
	stream grpc.BidiStreamingClient[snakepitv1.LaneRequest, snakepitv1.LaneResponse]
	cancel context.CancelFunc
	got    []*snakepitv1.Frame
}

func (c *clientStream) Read() (*snakepitv1.Frame, error) {
	return nextOf(&c.got, func() ([]*snakepitv1.Frame, error) {
		m, err := c.stream.Recv()
		return m.GetFrames(), err
	})
}

func (c *clientStream) Write(frames []*snakepitv1.Frame) error {
	return c.stream.Send(&snakepitv1.LaneRequest{Frames: frames})
}

func (c *clientStream) Close() error {
	c.cancel()
	return nil
}

// nextOf takes a frame from got, which more fills.
func nextOf(got *[]*snakepitv1.Frame, more func() ([]*snakepitv1.Frame, error)) (*snakepitv1.Frame, error) {
	if len(*got) == 0 {
		frames, err := more()
		if err != nil {
			return nil, err
		}
		if len(frames) == 0 {
			return nil, errdefs.New(errdefs.Protocol, "a message without frames")
		}
		*got = frames
	}
	f := (*got)[0]
	(*got)[0] = nil
	*got = (*got)[1:]
	return f, nil
}

// ServerStream carries frames over the worker's end of the stream Worker.Lane. A
// server's stream ends only when its RPC returns, and Close has to free those who
// read and write before that. So each direction has a goroutine that belongs to
// the RPC: it ends as soon as the RPC returns.
func ServerStream(s grpc.BidiStreamingServer[snakepitv1.LaneRequest, snakepitv1.LaneResponse]) Carrier {
	c := &serverStream{
		stream: s, in: make(chan received), out: make(chan []*snakepitv1.Frame), sent: make(chan error, 1),
		closed: make(chan struct{}),
	}
	c.pumps.Go(c.receive)
	c.pumps.Go(c.send)
	return c
}

type serverStream struct {
	stream grpc.BidiStreamingServer[snakepitv1.LaneRequest, snakepitv1.LaneResponse]
	in     chan received
	out    chan []*snakepitv1.Frame
	sent   chan error
	got    []*snakepitv1.Frame
	once   sync.Once
	closed chan struct{}
	pumps  sync.WaitGroup // never waited for: see ServerStream
}

type received struct {
	frames []*snakepitv1.Frame
	err    error
}

func (c *serverStream) receive() {
	for {
		m, err := c.stream.Recv()
		select {
		case c.in <- received{m.GetFrames(), err}:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *serverStream) send() {
	for {
		select {
		case frames := <-c.out:
			c.sent <- c.stream.Send(&snakepitv1.LaneResponse{Frames: frames})
		case <-c.closed:
			return
		}
	}
}

func (c *serverStream) Read() (*snakepitv1.Frame, error) {
	return nextOf(&c.got, func() ([]*snakepitv1.Frame, error) {
		select {
		case r := <-c.in:
			return r.frames, r.err
		case <-c.closed:
			return nil, io.ErrClosedPipe
		}
	})
}

// Write waits until the stream has taken the frames. After Close the frames may
// still be in use: the lane writes no others then.
func (c *serverStream) Write(frames []*snakepitv1.Frame) error {
	select {
	case c.out <- frames:
	case <-c.closed:
		return io.ErrClosedPipe
	}
	select {
	case err := <-c.sent:
		return err
	case <-c.closed:
		return io.ErrClosedPipe
	}
}

func (c *serverStream) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
