package rpc

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
)

// quietListener stops accepting without losing anybody: gRPC closes a connection
// that it has just accepted when its server is stopped in that moment, and whoever
// came would be told that nobody is there. Who comes after the quiet stays in the
// system's queue, for another process that listens on the same socket.
type quietListener struct {
	net.Listener

	hush   chan struct{} // closed when nothing more is to be accepted
	parked chan struct{} // closed when nothing more is
	closed chan struct{} // by Close
	ends   sync.Once
	parks  sync.Once

	mu    sync.Mutex // guards fresh and count
	fresh map[*freshConn]struct{}
	count uint64        // of the connections that were taken
	taken chan struct{} // has room for one: fresh got smaller
}

func newQuietListener(l net.Listener) *quietListener {
	return &quietListener{
		Listener: l, hush: make(chan struct{}), parked: make(chan struct{}), closed: make(chan struct{}),
		fresh: map[*freshConn]struct{}{}, taken: make(chan struct{}, 1),
	}
}

// Accept implements net.Listener.
func (l *quietListener) Accept() (net.Conn, error) {
	for {
		select {
		case <-l.hush:
			l.parks.Do(func() { close(l.parked) })
			<-l.closed
			return nil, net.ErrClosed
		default:
		}
		conn, err := l.Listener.Accept()
		if err == nil {
			return l.watch(conn), nil
		}
		select {
		case <-l.hush: // the deadline woke us
		default:
			return nil, err
		}
	}
}

// Close implements net.Listener.
func (l *quietListener) Close() error {
	l.ends.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// quiet makes Accept take nobody any more, and returns once the server has begun to
// talk to everybody whom it took before, or ctx has ended. It's called once, while
// a server serves.
func (l *quietListener) quiet(ctx context.Context) {
	d, ok := l.Listener.(interface{ SetDeadline(t time.Time) error })
	if !ok {
		return // nothing can wake its Accept
	}
	close(l.hush)
	_ = d.SetDeadline(time.Unix(1, 0)) // it's closed, or wakes Accept
	select {
	case <-l.parked:
	case <-l.closed:
	case <-ctx.Done():
	}
	for l.anyFresh() {
		select {
		case <-l.taken:
		case <-ctx.Done():
			return
		}
	}
}

func (l *quietListener) watch(conn net.Conn) net.Conn {
	c := &freshConn{Conn: conn, l: l}
	l.mu.Lock()
	l.fresh[c] = struct{}{}
	l.count++
	c.from = clientAddr{conn.RemoteAddr(), "connection " + strconv.FormatUint(l.count, 10)}
	l.mu.Unlock()
	return c
}

func (l *quietListener) anyFresh() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fresh) > 0
}

func (l *quietListener) touch(c *freshConn) {
	l.mu.Lock()
	delete(l.fresh, c)
	l.mu.Unlock()
	select {
	case l.taken <- struct{}{}:
	default:
	}
}

// freshConn is a connection that the server may not have looked at yet.
type freshConn struct {
	net.Conn

	l    *quietListener
	from clientAddr
	once sync.Once
}

// clientAddr is where a connection comes from, and its name: those of a Unix socket
// have the same address.
type clientAddr struct {
	net.Addr

	name string
}

// connectionOf names the connection that a request came over; empty when that isn't known.
func connectionOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	from, _ := p.Addr.(clientAddr)
	return from.name
}

// RemoteAddr implements net.Conn.
func (c *freshConn) RemoteAddr() net.Addr { return c.from }

func (c *freshConn) Read(p []byte) (int, error) {
	c.once.Do(func() { c.l.touch(c) })
	return c.Conn.Read(p)
}

func (c *freshConn) Write(p []byte) (int, error) {
	c.once.Do(func() { c.l.touch(c) })
	return c.Conn.Write(p)
}

func (c *freshConn) Close() error {
	c.once.Do(func() { c.l.touch(c) })
	return c.Conn.Close()
}
