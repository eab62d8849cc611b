package cluster

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// peers has a connection to each node that was asked for one. Who is at its other
// end, and that nobody reads along, is the transport's business.
type peers struct {
	dial func(ctx context.Context, id, address string) (net.Conn, error)

	within  time.Duration // a connection must be there
	cluster func() string // that this node belongs to; empty: none yet

	mu     sync.Mutex // guards all below
	conns  map[peer]*grpc.ClientConn
	closed bool
}

type peer struct{ id, address string }

func newPeers(t *Transport, pace timing, cluster func() string) *peers {
	return &peers{dial: t.Dial, within: pace.of(askWait), cluster: cluster, conns: map[peer]*grpc.ClientConn{}}
}

// conn gives the connection to a node, which connects when it's used.
func (p *peers) conn(to peer) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errdefs.New(errdefs.NoQuorum, "the node is closed")
	}
	if c := p.conns[to]; c != nil {
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+to.address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx, to.id, to.address) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 250 * time.Millisecond},
			MinConnectTimeout: p.within,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithChainUnaryInterceptor(p.named),
	)
	if err != nil {
		return nil, err
	}
	p.conns[to] = c
	return c, nil
}

// ask asks a node. A connection over which nothing came is closed: the node may
// have started anew elsewhere, or the network have forgotten it.
func (p *peers) ask(ctx context.Context, to peer, do func(context.Context, snakepitv1.NodeClient) error) error {
	conn, err := p.conn(to)
	if err != nil {
		return err
	}
	if err = do(ctx, snakepitv1.NewNodeClient(conn)); err == nil {
		return nil
	}
	own := errdefs.FromStatus(err)
	if r := errdefs.ReasonOf(own); r == errdefs.HostUnreachable || r == errdefs.Deadline {
		p.drop(to, conn)
	}
	return own
}

// drop closes a connection, if it's still the one in use.
func (p *peers) drop(to peer, conn *grpc.ClientConn) {
	p.mu.Lock()
	if p.conns[to] == conn {
		delete(p.conns, to)
	}
	p.mu.Unlock()
	_ = conn.Close() // it's closed either way
}

func (p *peers) close() {
	p.mu.Lock()
	conns := p.conns
	p.conns, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // it's closed either way
	}
}
