package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// unary turns statuses into our errors, in this one place.
func unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return fromStatus(ctx, method == snakepitv1.Host_Call_FullMethodName, invoke(ctx, method, req, reply, cc, opts...))
}

// streaming is the same for streams.
func streaming(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, fromStatus(ctx, false, err)
	}
	return &clientStream{ClientStream: s, runs: method == snakepitv1.Host_Stream_FullMethodName}, nil
}

type clientStream struct {
	grpc.ClientStream

	runs bool // it carries a call
}

func (s *clientStream) RecvMsg(m any) error {
	return fromStatus(s.Context(), s.runs, s.ClientStream.RecvMsg(m))
}

// fromStatus gives the host's own error. Where there is none, because the
// connection broke or the context ended, a call that was under way may have run.
func fromStatus(ctx context.Context, runs bool, err error) error {
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
	e.MayHaveRun = runs && (ctx.Err() != nil || e.Reason != errdefs.HostUnreachable)
	return e
}

// local reports whether an error was made on this side: the host's own say where
// they come from, or at least their class.
func local(e *errdefs.Error) bool {
	switch e.Reason {
	case errdefs.HostUnreachable, errdefs.Deadline, errdefs.Cancelled:
		return e.Where == (errdefs.Where{})
	default:
		return false
	}
}
