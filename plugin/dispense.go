package plugin

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// workerPlugin is what go-plugin dispenses: the worker's service on the
// plugin's connection.
type workerPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

var _ goplugin.GRPCPlugin = workerPlugin{}

// dispensed is the worker's service, and the connection for the health check.
type dispensed struct {
	conn   *grpc.ClientConn
	worker snakepitv1.WorkerClient
}

// GRPCClient implements goplugin.GRPCPlugin.
func (workerPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return dispensed{conn: conn, worker: snakepitv1.NewWorkerClient(conn)}, nil
}

// GRPCServer implements goplugin.GRPCPlugin; a host never serves it.
func (workerPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return nil }
