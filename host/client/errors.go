package client

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// unary turns statuses into our errors, in this one place.
func unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var to peer.Peer // filled in once the request has a connection
	err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Peer(&to))...)
	return fromStatus(method == snakepitv1.Host_Call_FullMethodName && to.Addr != nil, err)
}

// streaming is the same for streams.
func streaming(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, fromStatus(false, err)
	}
	return &clientStream{ClientStream: s, runs: method == snakepitv1.Host_Stream_FullMethodName}, nil
}

type clientStream struct {
	grpc.ClientStream

	runs bool // it carries a call
}

func (s *clientStream) RecvMsg(m any) error { return fromStatus(s.runs, s.ClientStream.RecvMsg(m)) }

func (s *clientStream) SendMsg(m any) error { return fromStatus(false, s.ClientStream.SendMsg(m)) }

// fromStatus gives the host's own error. Where there is none, because the
// connection broke or the context ended, a call that was on its way may have run.
func fromStatus(sent bool, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	out := errdefs.FromStatus(err)
	var e *errdefs.Error
	if !errors.As(out, &e) || !local(e) {
		return out
	}
	if e.Reason == errdefs.HostUnreachable {
		e.Hint = "is the host running? `snakepit status` tells"
	}
	e.MayHaveRun = sent
	return e
}

// local reports whether an error was made on this side: the host's own say where
// they come from, or at least their class.
func local(e *errdefs.Error) bool {
	mine := []errdefs.Reason{errdefs.HostUnreachable, errdefs.Deadline, errdefs.Cancelled}
	return slices.Contains(mine, e.Reason) && e.Where == (errdefs.Where{})
}
