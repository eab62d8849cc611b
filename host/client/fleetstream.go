package client

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// fleetStream is a stream to one node of several, which learns from the first answer.
type fleetStream struct {
	grpc.ClientStream

	fleet   *fleet
	target  *target
	ctx     context.Context //nolint:containedctx // its caller's: the stream's own is over when it ends
	conn    *grpc.ClientConn
	session string
	learnt  atomic.Bool
}

// RecvMsg implements grpc.ClientStream.
func (s *fleetStream) RecvMsg(m any) error {
	err := s.target.given(s.ctx, s.conn, s.ClientStream.RecvMsg(m))
	if s.learnt.Swap(true) {
		s.target.hear()
		return err
	}
	var header metadata.MD
	if err == nil {
		header, _ = s.Header() // it has come with the message
	}
	if !errors.Is(err, io.EOF) {
		s.fleet.heard(s.target, s.session, header, err)
	}
	return err
}

type sessionKey struct{}

// withSession says whose a stream is that is about to be made.
func withSession(ctx context.Context, session string) context.Context {
	return context.WithValue(ctx, sessionKey{}, session)
}

func sessionOf(ctx context.Context) string {
	session, _ := ctx.Value(sessionKey{}).(string)
	return session
}
