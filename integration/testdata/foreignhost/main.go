// Command foreignhost is a host of another make: it starts a Snakepit worker with
// go-plugin as it comes, calls a tool that streams, says the worker's pid after the
// first chunk, and waits to be killed.
//
//	foreignhost PYTHON ADAPTER TOOL ARGUMENTS
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "foreignhost:", err)
		os.Exit(1)
	}
}

func run(python, adapter, tool, arguments string) error {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "SNAKEPIT_PLUGIN",
			MagicCookieValue: "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54",
		},
		Plugins:          plugin.PluginSet{"worker": &worker{}},
		Cmd:              exec.Command(python, "-m", "snakepit", adapter),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	})
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense("worker")
	if err != nil {
		return err
	}
	api := raw.(snakepitv1.WorkerClient)
	if _, err := api.Describe(context.Background(), &snakepitv1.DescribeRequest{}); err != nil {
		return err
	}
	stream, err := api.Stream(context.Background(), &snakepitv1.WorkerStreamRequest{
		Tool: tool, Payload: []byte(arguments), ContentType: "application/json",
	})
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	fmt.Println(client.ID())
	select {}
}

type worker struct{ plugin.NetRPCUnsupportedPlugin }

func (*worker) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (*worker) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return snakepitv1.NewWorkerClient(conn), nil
}
