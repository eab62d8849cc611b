package rpc

import (
	"context"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func requestOf(ctx context.Context, inv *snakepitv1.Invocation, payload []byte, codec codec) (host.Request, error) {
	args, err := codec.in(payload)
	if err != nil {
		return host.Request{}, err
	}
	r := host.Request{
		Tool: inv.GetTool(), Payload: args, Pool: inv.GetPool(), Session: host.SessionID(inv.GetSession()),
		MustExist: inv.GetMustExist(), Idempotent: inv.GetIdempotent(), Metadata: inv.GetMetadata(),
		Caller: inv.GetCaller(), Priority: host.Priority(inv.GetPriority()), Affinity: host.Affinity(inv.GetAffinity()),
		Concurrent: inv.GetConcurrent(),
	}
	if r.Caller == "" && r.Session == "" {
		r.Caller = connectionOf(ctx)
	}
	return r, nil
}

// responseOf is one message of a stream.
func responseOf(m host.Message, codec codec) (*snakepitv1.HostStreamResponse, error) {
	if p := m.Progress; p != nil {
		return &snakepitv1.HostStreamResponse{Kind: &snakepitv1.HostStreamResponse_Progress{
			Progress: &snakepitv1.Progress{Done: p.Done, Total: p.Total, Message: p.Message},
		}}, nil
	}
	payload, err := codec.out(m.Payload)
	if err != nil {
		return nil, err
	}
	if m.Last {
		return &snakepitv1.HostStreamResponse{Kind: &snakepitv1.HostStreamResponse_Result{Result: payload}}, nil
	}
	return &snakepitv1.HostStreamResponse{Kind: &snakepitv1.HostStreamResponse_Chunk{Chunk: payload}}, nil
}

func toolOf(t *snakepitv1.Tool) host.Tool {
	return host.Tool{
		Name: t.GetName(), Description: t.GetDescription(), InputSchema: t.GetInputSchema(), OutputSchema: t.GetOutputSchema(),
		Stream: t.GetStream(), InputStream: t.GetInputStream(), Idempotent: t.GetIdempotent(), Cancel: t.GetCancel(),
	}
}

func protoTool(t host.Tool) *snakepitv1.Tool {
	return &snakepitv1.Tool{
		Name: t.Name, Description: t.Description, InputSchema: t.InputSchema, OutputSchema: t.OutputSchema,
		Stream: t.Stream, InputStream: t.InputStream, Idempotent: t.Idempotent, Cancel: t.Cancel,
	}
}

// ListTools implements snakepitv1.HostServer.
func (a *api) ListTools(_ context.Context, req *snakepitv1.ListToolsRequest) (*snakepitv1.ListToolsResponse, error) {
	resp := &snakepitv1.ListToolsResponse{}
	for _, t := range a.engine.Tools(req.GetPool()) {
		resp.Tools = append(resp.Tools, &snakepitv1.OfferedTool{Tool: protoTool(t.Tool), Pool: t.Pool, Exposed: t.Exposed})
	}
	return resp, nil
}

// ListWorkers implements snakepitv1.HostServer.
func (a *api) ListWorkers(_ context.Context, req *snakepitv1.ListWorkersRequest) (*snakepitv1.ListWorkersResponse, error) {
	resp := &snakepitv1.ListWorkersResponse{}
	for _, w := range a.engine.Workers(req.GetPool()) {
		resp.Workers = append(resp.Workers, workerOf(w))
	}
	return resp, nil
}

func workerOf(w host.WorkerStatus) *snakepitv1.WorkerStatus {
	return &snakepitv1.WorkerStatus{
		Id: string(w.ID), Pool: w.Pool, Node: w.Node, State: string(w.State), Calls: w.Calls, RssBytes: w.RSS,
		Pid: int32(w.Process.PID), Slots: count(w.Slots), Busy: count(w.Busy), SessionCount: count(w.Sessions), //nolint:gosec // a pid is an int32
		StartedAt: stamp(w.StartedAt),
	}
}

// Status implements snakepitv1.HostServer.
func (a *api) Status(context.Context, *snakepitv1.StatusRequest) (*snakepitv1.StatusResponse, error) {
	st := a.engine.Status()
	resp := &snakepitv1.StatusResponse{
		Node: st.Node, Pid: int32(os.Getpid()), Version: a.cfg.Version, State: string(st.State), //nolint:gosec // a pid is an int32
		StartedAt: stamp(st.StartedAt), SessionCount: count(st.Sessions), DataDir: a.cfg.DataDir, Refused: reasons(st.Refused),
	}
	for _, p := range st.Pools {
		resp.Pools = append(resp.Pools, &snakepitv1.PoolStatus{
			Name: p.Name, Adapter: p.Adapter, Size: count(p.Size), Ready: count(p.Ready), Busy: count(p.Busy), Slots: count(p.Slots),
			Queued: count(p.Queued), Calls: p.Calls, Errors: reasons(p.Errors), Replaced: p.Replaced, LastStartError: p.LastStartError,
		})
	}
	return resp, nil
}

func reasons(m map[errdefs.Reason]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for r, n := range m {
		out[string(r)] = n
	}
	return out
}

func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) } //nolint:gosec // bounded

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
