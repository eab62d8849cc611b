package cluster

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Transport is how a node reaches others, and they it. The node closes what it
// listens on. Whoever makes it sees to it that both ends are who they say.
type Transport struct {
	// Raft carries Raft's messages; its Addr is the address that others are told.
	// It must reach the node itself as well.
	Raft raft.StreamLayer
	// RPC accepts what other nodes dial with Dial.
	RPC net.Listener
	// Dial connects to the RPC of a node at an address. id is empty when it isn't
	// known who is there; otherwise it must be that node.
	Dial func(ctx context.Context, id, address string) (net.Conn, error)
	// Services registers what else nodes ask of each other; nil: nothing. They share
	// the connections, and get them from [Node.Dial].
	Services func(grpc.ServiceRegistrar)
	// Credentials tell those services who calls, from what RPC accepts; nil: nobody.
	// They needn't secure anything.
	Credentials credentials.TransportCredentials
}

// Join says how a node without a registry becomes a member of a cluster.
type Join struct {
	Addresses []string // of any members, tried in turn
	Token     string   // what shows that it may
}

// raftTimeout bounds one of Raft's messages.
const raftTimeout = 2 * time.Second

func (t *Transport) validate() error {
	if t == nil || t.Raft != nil && t.RPC != nil && t.Dial != nil {
		return nil
	}
	return errdefs.New(errdefs.InvalidConfig, "a transport needs Raft, RPC and Dial")
}

// close is for a node that never came to use it.
func (t *Transport) close() {
	if t != nil {
		_ = t.RPC.Close() // what never served has nothing to lose
		_ = t.Raft.Close()
	}
}

func (t *Transport) address() string { return t.Raft.Addr().String() }

// raftTransport is Raft's own over the connections of a transport; addresses says
// where a node is now.
func (n *Node) raftTransport(addresses raft.ServerAddressProvider) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: addresses, Stream: n.cfg.Transport.Raft, Logger: quiet(n.log),
		MaxPool: 3, Timeout: n.timing.of(raftTimeout), MsgpackUseNewTimeFormat: true,
		MaxRPCsInFlight: 1, // else a pipeline whose decoder has given up blocks its sender, and with it Raft's end
	})
}
