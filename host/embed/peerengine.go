package embed

import (
	"context"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/rpc"
)

// peerEngine is the engine as other nodes ask it.
type peerEngine struct{ *host.Host }

var _ rpc.PeerEngine = peerEngine{}

// OpenForwarded implements rpc.PeerEngine.
func (e peerEngine) OpenForwarded(ctx context.Context, f host.Forwarded) (rpc.ForwardedCall, host.Place, error) {
	call, err := e.Host.Open(ctx, f.Request)
	if err != nil {
		return nil, host.Place{}, err
	}
	return call, host.Place{Worker: call.Worker(), Home: call.Home()}, nil
}

// ServePeerTool implements rpc.PeerEngine.
func (e peerEngine) ServePeerTool(ctx context.Context, inv host.Invocation) ([]byte, error) {
	return e.Host.ServeTool(ctx, "", inv)
}

// TakeSaved implements rpc.PeerEngine.
func (e peerEngine) TakeSaved(_ context.Context, s host.SavedSession) error {
	return e.Host.TakeSaved(s)
}
