package client

import (
	"github.com/snakepit-go/snakepit"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func toolOf(o *snakepitv1.OfferedTool) snakepit.Tool {
	t := o.GetTool()
	return snakepit.Tool{
		Name: t.GetName(), Pool: o.GetPool(), Description: t.GetDescription(),
		InputSchema: t.GetInputSchema(), OutputSchema: t.GetOutputSchema(),
		Stream: t.GetStream(), InputStream: t.GetInputStream(), Idempotent: t.GetIdempotent(),
	}
}

func invocationOf(tool, contentType string, o snakepit.CallOptions) *snakepitv1.Invocation {
	return &snakepitv1.Invocation{
		Tool: tool, Pool: o.Pool, Session: o.Session, MustExist: o.MustExist, Idempotent: o.Idempotent,
		ContentType: contentType, Metadata: o.Metadata, Caller: o.Caller,
		Priority: int32(min(max(o.Priority, -2), 2)), //nolint:gosec // bounded
		Affinity: o.Affinity, Concurrent: o.Concurrent, Availability: o.Availability,
	}
}

func progressOf(p *snakepitv1.Progress) snakepit.Progress {
	return snakepit.Progress{Done: p.GetDone(), Total: p.GetTotal(), Message: p.GetMessage()}
}
