package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// PeerServer answers the other nodes of a cluster. It may be registered before
// there's an engine: until then it refuses everything with host_unreachable, so that
// whoever asks looks again.
type PeerServer struct {
	snakepitv1.UnimplementedPeerServer

	log     hclog.Logger
	engine  atomic.Pointer[host.Host]
	readers sync.WaitGroup // of streams, beside their handlers
}

// NewPeerServer returns a server without an engine; it starts nothing.
func NewPeerServer(log hclog.Logger) *PeerServer {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	return &PeerServer{log: log}
}

// Register adds the service to those of a node.
func (s *PeerServer) Register(r grpc.ServiceRegistrar) { snakepitv1.RegisterPeerServer(r, s) }

// Bind names the engine that answers from now on.
func (s *PeerServer) Bind(engine *host.Host) { s.engine.Store(engine) }

// Wait returns once the last goroutine has ended, after the gRPC server has.
func (s *PeerServer) Wait() { s.readers.Wait() }

// bound is the engine, once there's one.
func (s *PeerServer) bound() (*host.Host, error) {
	if e := s.engine.Load(); e != nil {
		return e, nil
	}
	e := errdefs.New(errdefs.HostUnreachable, "the node is starting")
	e.Hint = "try another node, or this one in a moment"
	return nil, e
}

// Open implements [snakepitv1.PeerServer].
func (s *PeerServer) Open(ss peerStream) (err error) {
	defer func() { err = outcome(s.log, "Peer.Open", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return err
	}
	first, err := ss.Recv()
	if err != nil {
		return err
	}
	if first.GetCall() == nil {
		return errdefs.New(errdefs.Protocol, "the first message must open a call")
	}
	payload, err := gather(first, ss.Recv)
	if err != nil {
		return err
	}
	f := forwardedOf(first.GetCall(), payload)
	call, err := engine.OpenForwarded(ss.Context(), f)
	if err != nil {
		return err
	}
	defer call.Close()
	if err := ss.Send(&snakepitv1.PeerOpenResponse{Kind: &snakepitv1.PeerOpenResponse_Opened{Opened: peerPlaceOf(call.Place())}}); err != nil {
		return err
	}
	return s.carry(ss, call, f.Input)
}

type peerStream = grpc.BidiStreamingServer[snakepitv1.PeerOpenRequest, snakepitv1.PeerOpenResponse]

// carry moves chunks both ways until the call ends. A message is taken from the
// tool only when the one before has been handed to gRPC, whose window is bounded.
func (s *PeerServer) carry(ss peerStream, call *host.Call, input bool) error {
	var inputErr inputFailure
	if input {
		s.readers.Go(func() { feedPeer(ss, call, &inputErr) })
	}
	for {
		m, err := call.Recv(ss.Context())
		if err != nil {
			return inputErr.or(err)
		}
		if err := sendPeer(ss, m); err != nil {
			return err
		}
		if m.Last {
			return nil
		}
	}
}

func sendPeer(ss peerStream, m host.Message) error {
	next := &snakepitv1.PeerOpenResponse{}
	switch {
	case m.Progress != nil:
		next.Kind = &snakepitv1.PeerOpenResponse_Progress{Progress: progressToWire(m.Progress)}
		return ss.Send(next)
	case m.Last:
		next.Kind = &snakepitv1.PeerOpenResponse_Result{Result: &snakepitv1.PeerResult{}}
	default:
		next.Kind = &snakepitv1.PeerOpenResponse_Chunk{Chunk: &snakepitv1.PeerChunk{}}
	}
	return split(m.Payload, func(part []byte, more bool) error {
		next.Payload, next.More = part, more
		err := ss.Send(next)
		next = &snakepitv1.PeerOpenResponse{}
		return err
	})
}

// feedPeer hands the caller's chunks to the tool.
func feedPeer(ss peerStream, call *host.Call, failure *inputFailure) {
	for {
		var chunk []byte
		first, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			_ = call.CloseSend() // fails only when the call has ended
			return
		}
		if err == nil {
			chunk, err = gather(first, ss.Recv)
		}
		if err != nil { // the other node is gone, or its chunk is too large
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

// ServeTool implements [snakepitv1.PeerServer].
func (s *PeerServer) ServeTool(ss grpc.BidiStreamingServer[snakepitv1.PeerServeToolRequest, snakepitv1.PeerServeToolResponse]) (err error) {
	defer func() { err = outcome(s.log, "Peer.ServeTool", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return err
	}
	first, payload, err := message(ss.Recv)
	if err != nil {
		return err
	}
	w := first.GetInvocation()
	result, err := engine.ServePeerTool(host.WithAncestors(ss.Context(), sessionIDs(w.GetAncestors())), invocationFrom(w, payload))
	if err != nil {
		return err
	}
	return split(result, func(part []byte, more bool) error {
		return ss.Send(&snakepitv1.PeerServeToolResponse{Payload: part, More: more})
	})
}

// CloseSession implements [snakepitv1.PeerServer].
func (s *PeerServer) CloseSession(ctx context.Context, req *snakepitv1.PeerCloseSessionRequest) (_ *snakepitv1.PeerCloseSessionResponse, err error) {
	defer func() { err = outcome(s.log, "Peer.CloseSession", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return nil, err
	}
	if err := engine.CloseForwarded(ctx, host.SessionID(req.GetSession())); err != nil {
		return nil, err
	}
	return &snakepitv1.PeerCloseSessionResponse{}, nil
}

// HandOver implements [snakepitv1.PeerServer].
func (s *PeerServer) HandOver(ss grpc.ClientStreamingServer[snakepitv1.PeerHandOverRequest, snakepitv1.PeerHandOverResponse]) (err error) {
	defer func() { err = outcome(s.log, "Peer.HandOver", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return err
	}
	first, payload, err := message(ss.Recv)
	if err != nil {
		return err
	}
	saved := host.SavedSession{ID: host.SessionID(first.GetSaved().GetSession()), Epoch: first.GetSaved().GetEpoch(), Saved: payload}
	if err := engine.TakeSaved(saved); err != nil {
		return err
	}
	return ss.SendAndClose(&snakepitv1.PeerHandOverResponse{})
}

// MoveSession implements [snakepitv1.PeerServer].
func (s *PeerServer) MoveSession(ctx context.Context, req *snakepitv1.PeerMoveSessionRequest) (_ *snakepitv1.PeerMoveSessionResponse, err error) {
	defer func() { err = outcome(s.log, "Peer.MoveSession", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return nil, err
	}
	ctx, cancel := sooner(ctx)
	defer cancel()
	to := host.Owner{Node: req.GetNode(), Incarnation: req.GetIncarnation()}
	if err := engine.HandOverSession(ctx, host.SessionID(req.GetSession()), to); err != nil {
		return nil, err
	}
	return &snakepitv1.PeerMoveSessionResponse{}, nil
}

// Room implements [snakepitv1.PeerServer].
func (s *PeerServer) Room(context.Context, *snakepitv1.PeerRoomRequest) (_ *snakepitv1.PeerRoomResponse, err error) {
	defer func() { err = outcome(s.log, "Peer.Room", recover(), err) }()
	engine, err := s.bound()
	if err != nil {
		return nil, err
	}
	return &snakepitv1.PeerRoomResponse{Pools: engine.Room()}, nil
}
