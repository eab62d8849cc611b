package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// network is what the nodes of a test have between them, in memory. Like a real one
// it keeps what is sent while a way is cut, and delivers it afterwards, in order.
type network struct {
	mu      sync.Mutex // guards all below
	doors   map[string]*doorway
	conns   map[*conn]struct{}
	cut     map[[2]string]bool
	delay   func() time.Duration
	changed chan struct{} // closed when cut changes
}

func newNetwork() *network {
	return &network{
		doors: map[string]*doorway{}, conns: map[*conn]struct{}{}, cut: map[[2]string]bool{},
		delay: func() time.Duration { return time.Millisecond }, changed: make(chan struct{}),
	}
}

// transport is that of a node at an address.
func (n *network) transport(name, address string) *Transport {
	return &Transport{
		Raft: &wires{n.listen("raft", name, address), n, name, address}, RPC: n.listen("rpc", name, address),
		Dial: func(ctx context.Context, _, to string) (net.Conn, error) { return n.dial(ctx, name, "rpc "+to) },
	}
}

// wires is a raft.StreamLayer.
type wires struct {
	*doorway

	net           *network
	name, address string
}

func (w *wires) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.net.dial(ctx, w.name, "raft "+string(to))
}

// doorway is a net.Listener.
type doorway struct {
	net     *network
	name    string
	key     string
	address string
	arrived chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (n *network) listen(kind, name, address string) *doorway {
	d := &doorway{net: n, name: name, key: kind + " " + address, address: address, arrived: make(chan net.Conn, 64), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doors[d.key] = d
	return d
}

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case c := <-d.arrived:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Close() error {
	d.once.Do(func() {
		close(d.closed)
		d.net.mu.Lock()
		defer d.net.mu.Unlock()
		if d.net.doors[d.key] == d {
			delete(d.net.doors, d.key)
		}
	})
	return nil
}

func (d *doorway) Addr() net.Addr { return name(d.address) }

type name string

func (name) Network() string  { return "memory" }
func (n name) String() string { return string(n) }

func (n *network) dial(ctx context.Context, from, key string) (net.Conn, error) {
	for {
		n.mu.Lock()
		d, changed := n.doors[key], n.changed
		open := d != nil && !n.cut[[2]string{from, d.name}] && !n.cut[[2]string{d.name, from}]
		if open {
			near, far := n.pair(from, d.name)
			n.mu.Unlock()
			select {
			case d.arrived <- far:
				return near, nil
			case <-d.closed:
				near.Close()
				return nil, errors.New("connection refused")
			}
		}
		n.mu.Unlock()
		if d == nil {
			return nil, errors.New("connection refused")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pair makes both ends of a connection. The lock is held.
func (n *network) pair(from, to string) (near, far *conn) {
	there, back := newStream(n, from, to), newStream(n, to, from)
	near, far = &conn{net: n, in: back, out: there}, &conn{net: n, in: there, out: back}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	return near, far
}

// set cuts a way in one direction, or mends it.
func (n *network) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]string{from, to}] = cut
	close(n.changed)
	n.changed = make(chan struct{})
}

// slow makes every message take so long.
func (n *network) slow(by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = func() time.Duration { return by }
}

// isolate cuts a node off from all others, or mends that.
func (n *network) isolate(one string, others []string, cut bool) {
	for _, other := range others {
		if other != one {
			n.set(one, other, cut)
			n.set(other, one, cut)
		}
	}
}

// reset closes all connections of a node, as its death does.
func (n *network) reset(one string) {
	n.mu.Lock()
	var all []*conn
	for c := range n.conns {
		if c.in.from == one || c.in.to == one {
			all = append(all, c)
		}
	}
	n.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

// stream is one direction of a connection.
type stream struct {
	net      *network
	from, to string
	wake     chan struct{} // has room for one

	mu     sync.Mutex // guards all below
	queue  []segment
	ended  bool // nothing more is sent
	closed bool // nothing more is read
	limit  time.Time
}

type segment struct {
	data []byte
	at   time.Time
}

func newStream(n *network, from, to string) *stream {
	return &stream{net: n, from: from, to: to, wake: make(chan struct{}, 1)}
}

func (s *stream) write(b []byte) (int, error) {
	s.net.mu.Lock()
	at := time.Now().Add(s.net.delay())
	s.net.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.closed {
		return 0, net.ErrClosed
	}
	if last := len(s.queue) - 1; last >= 0 && s.queue[last].at.After(at) {
		at = s.queue[last].at
	}
	s.queue = append(s.queue, segment{append([]byte(nil), b...), at})
	signal(s.wake)
	return len(b), nil
}

// read takes what is there, or says until when to wait for more.
func (s *stream) read(b []byte, cut bool) (n int, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.closed:
		return 0, now, net.ErrClosed
	case !s.limit.IsZero() && !now.Before(s.limit):
		return 0, now, os.ErrDeadlineExceeded
	case !cut && len(s.queue) > 0 && !now.Before(s.queue[0].at):
		n = copy(b, s.queue[0].data)
		if s.queue[0].data = s.queue[0].data[n:]; len(s.queue[0].data) == 0 {
			s.queue = s.queue[1:]
		}
		return n, now, nil
	case !cut && len(s.queue) == 0 && s.ended:
		return 0, now, io.EOF
	}
	until = s.limit
	if !cut && len(s.queue) > 0 && (until.IsZero() || s.queue[0].at.Before(until)) {
		until = s.queue[0].at
	}
	return 0, until, nil
}

func (s *stream) change(do func()) {
	s.mu.Lock()
	do()
	s.mu.Unlock()
	signal(s.wake)
}

// conn is a net.Conn.
type conn struct {
	net     *network
	in, out *stream
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		c.net.mu.Lock()
		cut, changed := c.net.cut[[2]string{c.in.from, c.in.to}], c.net.changed
		c.net.mu.Unlock()
		n, until, err := c.in.read(b, cut)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		var late <-chan time.Time
		timer := time.NewTimer(time.Hour)
		if !until.IsZero() {
			timer.Reset(time.Until(until))
			late = timer.C
		}
		select {
		case <-c.in.wake:
		case <-changed:
		case <-late:
		}
		timer.Stop()
	}
}

func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *conn) Close() error {
	c.out.change(func() { c.out.ended = true })
	c.in.change(func() { c.in.closed = true })
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	delete(c.net.conns, c)
	return nil
}

func (c *conn) LocalAddr() net.Addr              { return name(c.in.to) }
func (c *conn) RemoteAddr() net.Addr             { return name(c.in.from) }
func (c *conn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error { return nil } // a write never waits
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.limit = t })
	return nil
}
