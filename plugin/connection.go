package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// connection is what it takes to open a worker's lane.
type connection struct {
	dispensed
	token      []byte
	address    string // of the local carrier; empty: the worker has none
	dir        string // where the address must lie
	pid        int    // who must listen there
	carrier    string // "local", "grpc" or empty
	maxPayload int64
}

// open opens the lane over the carrier that was asked for, else the best there is.
func (c *connection) open(ctx context.Context, cfg lane.Config) (*lane.Lane, error) {
	cfg.Token = c.token
	carrier, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	l, err := lane.Dial(ctx, carrier, cfg)
	if err != nil {
		_ = carrier.Close() // the error is the one before
		return nil, fmt.Errorf("lane: %w", err)
	}
	return l, nil
}

func (c *connection) dial(ctx context.Context) (lane.Carrier, error) {
	switch {
	case c.carrier == "grpc":
		return c.dialGRPC(ctx)
	case c.address != "":
		return c.dialLocal(ctx)
	case c.carrier == "local":
		return nil, errdefs.New(errdefs.InvalidConfig, "the worker has no local carrier; set lane to grpc or auto")
	}
	return c.dialGRPC(ctx)
}

// dialLocal trusts neither the path nor whoever listens there.
func (c *connection) dialLocal(ctx context.Context) (lane.Carrier, error) {
	if !strings.HasPrefix(filepath.Clean(c.address), c.dir+string(filepath.Separator)) {
		return nil, fmt.Errorf("lane: the socket %q isn't in the worker's folder", clean(c.address, maxWord))
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.address)
	if err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	if err := c.verify(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("lane: %w", err), conn.Close())
	}
	return lane.Local(conn, 0), nil
}

// verify makes sure that it's the worker that listens there.
func (c *connection) verify(conn net.Conn) error {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("a %T has no peer to verify", conn)
	}
	peer, err := lane.PeerOf(uc)
	if err != nil {
		return err
	}
	if peer.PID != c.pid {
		return fmt.Errorf("process %d listens on the worker's socket, and the worker is %d", peer.PID, c.pid)
	}
	return nil
}

// dialGRPC opens the stream. It lives as long as the lane, not as long as ctx.
func (c *connection) dialGRPC(ctx context.Context) (lane.Carrier, error) {
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	stream, err := c.worker.Lane(streamCtx)
	if !stop() || err != nil {
		cancel()
		return nil, fmt.Errorf("lane: %w", errors.Join(err, ctx.Err()))
	}
	return lane.ClientStream(stream, cancel), nil
}
