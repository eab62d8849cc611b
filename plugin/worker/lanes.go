package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// helloTime is how long a host may take to say hello.
const helloTime = 5 * time.Second

// serveLane serves one lane until it ends.
func (s *workerServer) serveLane(ctx context.Context, carrier lane.Carrier) error {
	token, limits, err := s.host.expects()
	if err != nil {
		_ = carrier.Close() // nothing was written
		return err
	}
	var l *lane.Lane
	serve := func(ctx context.Context, in *lane.Inbound) { in.End(s.calls.run(ctx, &laneCaller{in, l})) }
	greeting, cancel := context.WithTimeout(ctx, helloTime)
	l, err = lane.Accept(greeting, carrier, lane.Config{Token: token, Agent: "snakepit-go/" + version(), Limits: limits, Serve: serve})
	cancel()
	if err != nil {
		return err
	}
	ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	open := &openLane{l, cancel}
	if err := s.host.adopt(open, token); err != nil {
		cancel() // and Run closes the carrier
		_ = l.Run(ctx)
		return err
	}
	defer s.host.forget(open)
	return l.Run(ctx)
}

// laneCaller is who called over a lane.
type laneCaller struct {
	*lane.Inbound

	lane *lane.Lane
}

// Open calls a host tool during the call.
func (c *laneCaller) Open(ctx context.Context, req lane.Request) (*lane.Call, error) {
	req.Parent = c.ID()
	return c.lane.Open(ctx, req)
}

// door is the local carrier's socket.
type door struct {
	listener *net.UnixListener
	service  *workerServer
	log      func(err error)
}

// run takes connections until ctx is done, and returns when their lanes have ended.
func (d *door) run(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	stop := context.AfterFunc(ctx, func() { _ = d.listener.Close() }) // removes the socket too
	defer stop()
	for {
		conn, err := d.listener.AcceptUnix()
		if ctx.Err() != nil {
			return
		}
		if err != nil { // out of descriptors, maybe
			d.log(err)
			pause(ctx, time.Second)
			continue
		}
		lanes.Go(func() {
			if err := d.greet(ctx, conn); err != nil && !errors.Is(err, io.EOF) { // EOF: the host has closed it
				d.log(err)
			}
		})
	}
}

// greet serves a host of our own user, or root's.
func (d *door) greet(ctx context.Context, conn *net.UnixConn) error {
	peer, err := lane.PeerOf(conn)
	if err == nil && peer.UID != os.Getuid() && peer.UID != 0 {
		err = errdefs.New(errdefs.PermissionDenied, "user %d isn't ours", peer.UID)
	}
	if err != nil {
		_ = conn.Close() // nothing was written
		return fmt.Errorf("the lane's socket: %w", err)
	}
	return d.service.serveLane(ctx, lane.Local(conn, 0))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
