package client

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// maxPayload is the largest arguments, chunk or result, in bytes.
	maxPayload = 256 << 20
	// maxMessage is that and what surrounds it.
	maxMessage = maxPayload + 1<<20
	// window is what may lie between a stream and its reader, in bytes.
	window = 1 << 20
)

// Client is a connection to a host, or to several of a cluster.
type Client struct {
	conn  connection
	api   snakepitv1.HostClient
	fleet *fleet // nil: there's one host

	serving sync.WaitGroup
	ctx     func() context.Context // of the serving stream; ended by stop
	stop    context.CancelCauseFunc

	mu     sync.Mutex // guards server
	server *server    // nil until the first Offer
}

var _ snakepit.Caller = (*Client)(nil)

// connection carries requests to a host, or to one of several.
type connection interface {
	grpc.ClientConnInterface
	io.Closer
}

// Dial connects to a host and makes sure that it answers; ctx bounds that alone.
// target is the path of a Unix socket, unix:///path, or host:port; or several,
// separated by commas, of nodes of one cluster, of which one must answer. Among
// several, calls of a session go directly to the node that owns it, and what never ran
// because a node was away goes to another one, until its deadline.
func Dial(ctx context.Context, target string, opts ...Option) (*Client, error) {
	o := optionsOf(opts)
	live, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &Client{ctx: func() context.Context { return live }, stop: stop}
	if err := c.connect(split(target), o.dial); err != nil { //nolint:contextcheck // connections outlive ctx
		stop(err)
		return nil, errdefs.Wrap(errdefs.HostUnreachable, err, "dial %s", target)
	}
	c.api = snakepitv1.NewHostClient(c.conn)
	if _, err := c.Status(ctx); err != nil {
		_ = c.Close() // nothing was begun
		return nil, err
	}
	return c, nil
}

func (c *Client) connect(addresses []string, dial func(address string, several bool) (*grpc.ClientConn, error)) (err error) {
	switch len(addresses) {
	case 0:
		return errors.New("no address")
	case 1:
		c.conn, err = dial(addresses[0], false)
		return err
	}
	if c.fleet, err = newFleet(addresses, dial); err == nil {
		c.conn = c.fleet
		c.serving.Go(func() { c.fleet.watch(c.ctx()) })
	}
	return err
}

// dial makes a connection, which connects when it's used. One of several is given up
// sooner: there are others.
func (o options) dial(address string, several bool) (*grpc.ClientConn, error) {
	alive := keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(o.creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(4 * window),
		grpc.WithUnaryInterceptor(unary), grpc.WithStreamInterceptor(streaming),
	}
	if several {
		alive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}
		opts = append(opts, grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: downFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: downMost},
			MinConnectTimeout: time.Second,
		}))
	}
	return grpc.NewClient(address, append(opts, grpc.WithKeepaliveParams(alive))...)
}

// address turns a plain path into gRPC's form.
func address(target string) string {
	if !strings.Contains(target, "://") && (filepath.IsAbs(target) || strings.HasPrefix(target, ".")) {
		return "unix:" + target
	}
	return target
}

// Close ends the connection, and takes back the tools that were offered over it.
func (c *Client) Close() error {
	c.stop(context.Canceled)
	err := c.conn.Close()
	c.serving.Wait()
	return err
}

// Status tells how the host is.
func (c *Client) Status(ctx context.Context) (*snakepitv1.StatusResponse, error) {
	return c.api.Status(ctx, &snakepitv1.StatusRequest{})
}

// Upgrade has the host's program started anew, to take over listener, workers and
// sessions, and returns the new process's pid once that one is ready to. The old one
// goes on until its running calls have ended. On error nothing has changed.
func (c *Client) Upgrade(ctx context.Context) (pid int, err error) {
	r, err := c.api.Upgrade(ctx, &snakepitv1.UpgradeRequest{})
	return int(r.GetPid()), err
}

// ReloadConfig has the host read its configuration again and apply what a running
// host can take; it blocks until that holds. A configuration that's wrong changes
// nothing, and fails with invalid_config, which names everything that's wrong.
func (c *Client) ReloadConfig(ctx context.Context) (*snakepitv1.ReloadConfigResponse, error) {
	return c.api.ReloadConfig(ctx, &snakepitv1.ReloadConfigRequest{})
}

// SetPoolOverrides sets knobs of the pools of a name on all hosts of the cluster, in
// place of what each one's own configuration has, and gives all that is set for the
// pool by then, and what is odd about it on the host that answers. It returns when
// that's durable; each host takes it within moments. A host by itself is a cluster of
// one. Errors: invalid_config, with everything that's wrong: then nothing has changed;
// pool_not_found; conflict for a host that keeps nothing; no_quorum.
func (c *Client) SetPoolOverrides(ctx context.Context, pool string, knobs map[string]string) (set map[string]string, warnings []string, err error) {
	r, err := c.api.SetPoolOverrides(ctx, &snakepitv1.SetPoolOverridesRequest{Pool: pool, Knobs: knobs})
	return r.GetKnobs(), r.GetWarnings(), err
}

// UnsetPoolOverrides goes back to what each host's own configuration has, for some knobs
// of a pool or, where none is named, for all, and gives those that were set.
func (c *Client) UnsetPoolOverrides(ctx context.Context, pool string, knobs ...string) (removed []string, err error) {
	r, err := c.api.UnsetPoolOverrides(ctx, &snakepitv1.UnsetPoolOverridesRequest{Pool: pool, Knobs: knobs})
	return r.GetKnobs(), err
}

// PoolOverrides lists the knobs that are set for all hosts, and says how the host that
// answers takes them.
func (c *Client) PoolOverrides(ctx context.Context) ([]*snakepitv1.PoolOverride, error) {
	r, err := c.api.ListPoolOverrides(ctx, &snakepitv1.ListPoolOverridesRequest{})
	return r.GetOverrides(), err
}

// Reload replaces every worker of a pool by a new one, of all pools when pool is
// empty, and blocks until the last old one is gone; progress (nil: nobody) is told
// of each step. When a new worker can't start it fails with that error, and the
// workers that are left serve on. When ctx ends no further worker is replaced.
func (c *Client) Reload(ctx context.Context, pool string, progress func(*snakepitv1.ReloadResponse)) error {
	stream, err := c.api.Reload(ctx, &snakepitv1.ReloadRequest{Pool: pool})
	if err != nil {
		return err
	}
	return follow(stream, progress)
}

// follow tells progress (nil: nobody) of each step of a stream, until it ends.
func follow[T any](stream grpc.ServerStreamingClient[T], progress func(*T)) error {
	for {
		step, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case progress != nil:
			progress(step)
		}
	}
}

// DrainWorker takes a worker out of service, once another has taken its place, and
// blocks until its calls have ended and it's gone.
func (c *Client) DrainWorker(ctx context.Context, id string) error {
	_, err := c.api.DrainWorker(ctx, &snakepitv1.DrainWorkerRequest{Worker: id})
	return err
}

// KillWorker ends a worker at once, with its calls.
func (c *Client) KillWorker(ctx context.Context, id string) error {
	_, err := c.api.KillWorker(ctx, &snakepitv1.KillWorkerRequest{Worker: id})
	return err
}

// Workers lists the workers of a pool; of all when pool is empty.
func (c *Client) Workers(ctx context.Context, pool string) ([]*snakepitv1.WorkerStatus, error) {
	r, err := c.api.ListWorkers(ctx, &snakepitv1.ListWorkersRequest{Pool: pool})
	return r.GetWorkers(), err
}

// Sessions lists the open sessions of a pool; of all when pool is empty.
func (c *Client) Sessions(ctx context.Context, pool string) ([]*snakepitv1.SessionStatus, error) {
	r, err := c.api.ListSessions(ctx, &snakepitv1.ListSessionsRequest{Pool: pool})
	return r.GetSessions(), err
}

// OfferedTools lists the tools of a pool, with their schemas; of all, host tools
// included, when pool is empty.
func (c *Client) OfferedTools(ctx context.Context, pool string) ([]*snakepitv1.OfferedTool, error) {
	r, err := c.api.ListTools(ctx, &snakepitv1.ListToolsRequest{Pool: pool})
	return r.GetTools(), err
}

// Tools implements snakepit.Caller.
func (c *Client) Tools(ctx context.Context) ([]snakepit.Tool, error) {
	offered, err := c.OfferedTools(ctx, "")
	if err != nil {
		return nil, err
	}
	tools := make([]snakepit.Tool, 0, len(offered))
	for _, o := range offered {
		tools = append(tools, toolOf(o))
	}
	return tools, nil
}

// CloseSession ends a session. One that isn't there is no error.
func (c *Client) CloseSession(ctx context.Context, id string) error {
	_, err := c.api.CloseSession(ctx, &snakepitv1.CloseSessionRequest{Session: id})
	return err
}
