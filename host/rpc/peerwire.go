package rpc

import (
	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func peerCallOf(f host.Forwarded) *snakepitv1.PeerCall {
	w := &snakepitv1.PeerCall{
		Invocation: &snakepitv1.Invocation{
			Tool: f.Tool, Pool: f.Pool, Session: string(f.Session), MustExist: f.MustExist, Idempotent: f.Idempotent,
			Metadata: f.Metadata, Caller: f.Caller, Priority: int32(f.Priority), Affinity: string(f.Affinity), //nolint:gosec // -1 to 1
			Concurrent: f.Concurrent, Availability: string(f.Availability),
		},
		Stream: f.Stream, Input: f.Input, Id: f.ID, From: f.From, Epoch: f.Epoch,
		Ancestors: texts(f.Ancestors),
	}
	return w
}

func forwardedOf(w *snakepitv1.PeerCall, payload []byte) host.Forwarded {
	inv := w.GetInvocation()
	return host.Forwarded{
		Request: host.Request{
			Tool: inv.GetTool(), Payload: payload, Pool: inv.GetPool(), Session: host.SessionID(inv.GetSession()),
			MustExist: inv.GetMustExist(), Idempotent: inv.GetIdempotent(), Stream: w.GetStream(), Input: w.GetInput(),
			Metadata: inv.GetMetadata(), Caller: inv.GetCaller(), Priority: host.Priority(inv.GetPriority()),
			Affinity: host.Affinity(inv.GetAffinity()), Concurrent: inv.GetConcurrent(), Availability: host.Availability(inv.GetAvailability()),
		},
		ID: w.GetId(), From: w.GetFrom(), Epoch: w.GetEpoch(), Ancestors: sessionIDs(w.GetAncestors()),
	}
}

func peerPlaceOf(p host.Place) *snakepitv1.PeerPlace {
	return &snakepitv1.PeerPlace{Node: p.Node, Worker: string(p.Worker), Epoch: p.Epoch, Home: p.Home}
}

func placeOf(w *snakepitv1.PeerPlace) host.Place {
	return host.Place{Node: w.GetNode(), Worker: host.WorkerID(w.GetWorker()), Epoch: w.GetEpoch(), Home: w.GetHome()}
}

func peerInvocationOf(inv host.Invocation, ancestors []host.SessionID) *snakepitv1.PeerInvocation {
	return &snakepitv1.PeerInvocation{
		Id: inv.ID, Tool: inv.Tool, Session: string(inv.Session), Epoch: inv.Epoch, Metadata: inv.Metadata,
		Ancestors: texts(ancestors),
	}
}

// invocationFrom is what a worker of another node calls. Its deadline is the
// request's.
func invocationFrom(w *snakepitv1.PeerInvocation, payload []byte) host.Invocation {
	return host.Invocation{
		ID: w.GetId(), Tool: w.GetTool(), Payload: payload, Session: host.SessionID(w.GetSession()), Epoch: w.GetEpoch(),
		Metadata: w.GetMetadata(),
	}
}

func progressToWire(p *host.Progress) *snakepitv1.Progress {
	return &snakepitv1.Progress{Done: p.Done, Total: p.Total, Message: p.Message}
}

func texts(ids []host.SessionID) (all []string) {
	for _, id := range ids {
		all = append(all, string(id))
	}
	return all
}

func sessionIDs(all []string) (ids []host.SessionID) {
	for _, id := range all {
		ids = append(ids, host.SessionID(id))
	}
	return ids
}
