package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Call implements snakepitv1.HostServer.
func (a *api) Call(ctx context.Context, req *snakepitv1.HostCallRequest) (*snakepitv1.HostCallResponse, error) {
	codec, err := codecFor(req.GetInvocation().GetContentType())
	if err != nil {
		return nil, err
	}
	r, err := requestOf(ctx, req.GetInvocation(), req.GetPayload(), codec)
	if err != nil {
		return nil, err
	}
	call, err := a.engine.Open(ctx, r)
	a.tellOwner(r, func(md metadata.MD) error { return grpc.SetHeader(ctx, md) })
	if err != nil {
		return nil, err
	}
	defer call.Close()
	for {
		m, err := call.Recv(ctx)
		if err != nil {
			return nil, err
		}
		if !m.Last {
			continue // a progress report, which a unary call has no place for
		}
		payload, err := codec.out(m.Payload)
		if err != nil {
			return nil, err
		}
		return &snakepitv1.HostCallResponse{Payload: payload, CallId: call.ID(), Worker: string(call.Worker())}, nil
	}
}

// ownerHeader tells a client where its session's calls go directly.
const ownerHeader = "snakepit-owner"

// tellOwner adds that to an answer, where it's another node.
func (a *api) tellOwner(r host.Request, set func(metadata.MD) error) {
	if a.cfg.Owner == nil || r.Session == "" {
		return
	}
	if address := a.cfg.Owner(r.Session); address != "" {
		_ = set(metadata.Pairs(ownerHeader, address)) // a hint: the next answer has another
	}
}

type hostStream = grpc.BidiStreamingServer[snakepitv1.HostStreamRequest, snakepitv1.HostStreamResponse]

// Stream implements snakepitv1.HostServer. The client's reading paces the tool:
// a message is taken from it only when the one before has been handed to gRPC,
// whose window is bounded.
func (a *api) Stream(ss hostStream) error {
	first, err := ss.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return errdefs.New(errdefs.Protocol, "the first message of a stream must open a call")
	}
	codec, err := codecFor(open.GetInvocation().GetContentType())
	if err != nil {
		return err
	}
	r, err := requestOf(ss.Context(), open.GetInvocation(), open.GetPayload(), codec)
	if err != nil {
		return err
	}
	r.Stream, r.Input = !open.GetGather(), open.GetInput()
	call, err := a.engine.Open(ss.Context(), r)
	a.tellOwner(r, ss.SetHeader)
	if err != nil {
		return err
	}
	return a.carry(ss, call, codec, r.Input)
}

// carry moves chunks both ways until the call ends.
func (a *api) carry(ss hostStream, call *host.Call, codec codec, input bool) error {
	var inputErr inputFailure
	if input {
		a.readers.Go(func() { feed(ss, call, codec, &inputErr) })
	}
	defer call.Close()
	for {
		m, err := call.Recv(ss.Context())
		if err != nil {
			return inputErr.or(err)
		}
		resp, err := responseOf(m, codec)
		if err != nil {
			return err
		}
		if resp != nil {
			if err := ss.Send(resp); err != nil {
				return err
			}
		}
		if m.Last {
			return nil
		}
	}
}

// feed hands the client's chunks to the tool.
func feed(ss hostStream, call *host.Call, codec codec, failure *inputFailure) {
	for {
		req, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			_ = call.CloseSend() // fails only when the call has ended
			return
		}
		var chunk []byte
		if err == nil {
			chunk, err = codec.in(req.GetChunk())
		}
		if err != nil { // the client is gone, or its chunk is too large or malformed
			if ss.Context().Err() == nil {
				failure.set(err)
			}
			call.Close()
			return
		}
		if call.Send(ss.Context(), chunk) != nil {
			return // the call has ended; Recv tells why
		}
	}
}

// inputFailure is what was wrong with the client's chunks, which is a better
// answer than that the call was cancelled because of it.
type inputFailure struct {
	mu  sync.Mutex // guards err
	err error
}

func (f *inputFailure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *inputFailure) or(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	return err
}

// CloseSession implements snakepitv1.HostServer.
func (a *api) CloseSession(ctx context.Context, req *snakepitv1.CloseSessionRequest) (*snakepitv1.CloseSessionResponse, error) {
	if err := a.engine.CloseSession(ctx, host.SessionID(req.GetSession())); err != nil {
		return nil, err
	}
	return &snakepitv1.CloseSessionResponse{}, nil
}
