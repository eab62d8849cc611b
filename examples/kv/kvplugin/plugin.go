package kvplugin

import (
	"context"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/examples/kv/kvpb"
)

// Name is the plugin's name, for Dispense.
const Name = "kv"

// Handshake is the cookie that host and plugin share.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		MagicCookieKey:   "KV_PLUGIN",
		MagicCookieValue: "7b1c6a52-a7a9-4a4f-8f0e-2b8a0a3f5c11",
	}
}

// Versions are the protocol versions that this host speaks. The plugin picks the
// highest that it serves itself.
func Versions() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{
		1: {Name: &Plugin{}},
		2: {Name: &Plugin{}},
	}
}

// Config is the usual configuration for a plugin that cmd starts. The caller may
// change it before it goes to plugin.NewClient, which starts the process with the
// runner that comes with go-plugin.
func Config(cmd *exec.Cmd) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: Versions(),
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	}
}

// Plugin makes Clients. It has no server's side: that one is in Python.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
}

// GRPCServer refuses: this program is a host.
func (*Plugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errNoServer
}

// GRPCClient returns a *Client.
func (*Plugin) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &Client{
		kv:       kvpb.NewKVClient(conn),
		brokered: kvpb.NewBrokeredClient(conn),
		broker:   broker,
	}, nil
}
