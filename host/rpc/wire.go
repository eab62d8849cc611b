package rpc

import (
	"context"

	"github.com/snakepit-go/snakepit/host"
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
		Concurrent: inv.GetConcurrent(), Availability: host.Availability(inv.GetAvailability()),
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
