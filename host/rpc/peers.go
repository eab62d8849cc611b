package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// NewPeers reaches the engines of other nodes over the connections that dial gives,
// which stay their owner's. A connection that breaks once a call was handed to it
// gives host_unreachable with may_have_run; before that nothing has run.
func NewPeers(dial func(ctx context.Context, node string) (grpc.ClientConnInterface, error)) host.Peers {
	return &peers{dial}
}

type peers struct {
	dial func(ctx context.Context, node string) (grpc.ClientConnInterface, error)
}

// Open implements [host.Peers].
func (p *peers) Open(ctx context.Context, node string, f host.Forwarded) (host.Running, host.Place, error) {
	conn, err := p.reach(ctx, node)
	if err != nil {
		return nil, host.Place{}, err
	}
	r := newRemoteRun(ctx, node)
	place, err := r.open(conn, f)
	if err != nil {
		r.end()
		return nil, host.Place{}, err
	}
	return r, place, nil
}

// reach gives the connection to a node; nothing was asked of it when that fails.
func (p *peers) reach(ctx context.Context, node string) (grpc.ClientConnInterface, error) {
	conn, err := p.dial(ctx, node)
	var own *errdefs.Error
	if err == nil || errors.As(err, &own) {
		return conn, err
	}
	return nil, errdefs.Wrap(errdefs.HostUnreachable, err, "node %s", node)
}

// ServeTool implements [host.Peers].
func (p *peers) ServeTool(ctx context.Context, node string, inv host.Invocation) ([]byte, error) {
	conn, err := p.reach(ctx, node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := untilDeadline(ctx, inv)
	defer cancel()
	s, err := snakepitv1.NewPeerClient(conn).ServeTool(ctx)
	if err != nil {
		return nil, peerError(ctx, node, err, false)
	}
	sent := false
	first := &snakepitv1.PeerServeToolRequest{Invocation: peerInvocationOf(inv, host.Ancestors(ctx))}
	err = split(inv.Payload, func(part []byte, more bool) error {
		first.Payload, first.More, sent = part, more, !more
		err := s.Send(first)
		first = &snakepitv1.PeerServeToolRequest{}
		return err
	})
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: it was refused, and Recv tells why
		return nil, peerError(ctx, node, err, sent)
	}
	_, result, err := message(s.Recv)
	if err != nil {
		return nil, peerError(ctx, node, err, sent)
	}
	return result, nil
}

func untilDeadline(ctx context.Context, inv host.Invocation) (context.Context, context.CancelFunc) {
	if inv.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, inv.Deadline)
}

// CloseSession implements [host.Peers].
func (p *peers) CloseSession(ctx context.Context, node string, id host.SessionID) error {
	conn, err := p.reach(ctx, node)
	if err != nil {
		return err
	}
	_, err = snakepitv1.NewPeerClient(conn).CloseSession(ctx, &snakepitv1.PeerCloseSessionRequest{Session: string(id)})
	return peerError(ctx, node, err, true)
}

// MoveSession implements [host.Peers].
func (p *peers) MoveSession(ctx context.Context, node string, id host.SessionID, to host.Owner) error {
	conn, err := p.reach(ctx, node)
	if err != nil {
		return err
	}
	r := &snakepitv1.PeerMoveSessionRequest{Session: string(id), Node: to.Node, Incarnation: to.Incarnation}
	_, err = snakepitv1.NewPeerClient(conn).MoveSession(ctx, r)
	return peerError(ctx, node, err, true)
}

// HandOver implements [host.Peers].
func (p *peers) HandOver(ctx context.Context, node string, saved host.SavedSession) error {
	conn, err := p.reach(ctx, node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := snakepitv1.NewPeerClient(conn).HandOver(ctx)
	if err != nil {
		return peerError(ctx, node, err, false)
	}
	next := &snakepitv1.PeerHandOverRequest{Saved: &snakepitv1.PeerSaved{Session: string(saved.ID), Epoch: saved.Epoch}}
	err = split(saved.Saved, func(part []byte, more bool) error {
		next.Payload, next.More = part, more
		err := s.Send(next)
		next = &snakepitv1.PeerHandOverRequest{}
		return err
	})
	if err == nil || errors.Is(err, io.EOF) {
		_, err = s.CloseAndRecv()
	}
	return peerError(ctx, node, err, true)
}

// peerError is what another node said, or why it said nothing; sent: what was asked
// of it may have been begun.
func peerError(ctx context.Context, node string, err error, sent bool) error {
	if err == nil {
		return nil
	}
	if said := saidBy(err); said != nil {
		return said
	}
	e := silence(ctx, node, err)
	e.MayHaveRun = sent && e.Reason != errdefs.Unimplemented
	return e
}

// saidBy is the other node's own error; nil when it's none of ours, but gRPC's.
func saidBy(err error) *errdefs.Error {
	st, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, d := range st.Details() {
		if w, isOurs := d.(*snakepitv1.Error); isOurs {
			return errdefs.FromProto(w)
		}
	}
	return nil
}

// silence says why a node gave no answer.
func silence(ctx context.Context, node string, err error) *errdefs.Error {
	var own *errdefs.Error
	switch {
	case ctx.Err() != nil:
		return errdefs.Of(context.Cause(ctx))
	case status.Code(err) == codes.DeadlineExceeded: // the other's clock was faster than ctx's timer
		return errdefs.Wrap(errdefs.Deadline, err, "node %s", node)
	case errors.Is(err, io.EOF):
		return errdefs.New(errdefs.Protocol, "node %s ended a stream too soon", node)
	case errors.As(err, &own):
		return own
	case status.Code(err) == codes.Unimplemented:
		return errdefs.Wrap(errdefs.Unimplemented, err, "node %s is older than this one", node)
	}
	return errdefs.Wrap(errdefs.HostUnreachable, err, "node %s", node)
}
