package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// door is where the connections of one protocol arrive. It's a net.Listener.
type door struct {
	link     *Link
	protocol protocol
	arrived  chan *tracked
	room     chan struct{} // one token a connection that came in here and is open
	ended    chan struct{} // closed when the link has ended, or the door is closed

	mu     sync.Mutex // guards the sending to arrived, and the next
	closed bool
}

func newDoor(l *Link, p protocol) *door {
	return &door{
		link: l, protocol: p, arrived: make(chan *tracked, mostUntaken),
		room: make(chan struct{}, p.most()), ended: make(chan struct{}),
	}
}

// enter hands a connection to whoever accepts, and reports whether there was room.
func (d *door) enter(c *tracked) bool {
	select {
	case d.room <- struct{}{}:
	default:
		return false
	}
	c.left = sync.OnceFunc(func() { <-d.room })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	select {
	case d.arrived <- c:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.arrived:
		return c, nil
	case <-d.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: nobody comes in any more, and who hasn't been
// accepted is sent away. The link, and the other doors, go on.
func (d *door) Close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	close(d.ended)
	for {
		select {
		case c := <-d.arrived:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return address(d.link.Addr()) }

// address is a net.Addr by what others dial.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// streams is the door of Raft: a raft.StreamLayer.
type streams struct {
	*door
	node func(raft.ServerAddress) string
}

// Dial implements raft.StreamLayer.
func (s streams) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.link.dial(ctx, speakRaft, string(addr), s.node(addr))
}

// Raft is where Raft's connections arrive and are made. node gives the id of the
// node at an address; where it's empty, any node of the cluster is taken.
func (l *Link) Raft(node func(raft.ServerAddress) string) raft.StreamLayer {
	return streams{l.doors[speakRaft], node}
}

// Nodes is where the calls of other nodes arrive. [Peer] says whose a connection is.
func (l *Link) Nodes() net.Listener { return l.doors[speakNode] }

// API is where clients arrive. Under TLS each has a certificate of the cluster's
// authority, which [WhoIs] and [Caller] read; without, it's somebody on this machine.
func (l *Link) API() net.Listener { return l.doors[speakAPI] }

// Joins is where those arrive who aren't members yet: nobody has proved anything.
func (l *Link) Joins() net.Listener { return l.doors[speakJoin] }

// DialNode connects to the node of that id; ctx bounds it.
func (l *Link) DialNode(ctx context.Context, addr, node string) (net.Conn, error) {
	return l.dial(ctx, speakNode, addr, node)
}

// tracked is a connection that the link closes when it ends.
type tracked struct {
	net.Conn
	raw  net.Conn
	link *Link
	left func()      // gives its place at the door free; nil: it was dialled
	end  *time.Timer // closes it; nil: it may last
}

// expire has the connection closed after a while, whatever goes on over it.
func (t *tracked) expire(after time.Duration) {
	t.end = time.AfterFunc(after, func() { _ = t.raw.Close() })
}

// Read implements net.Conn. Under TLS a side that's turned away hears of it only
// when it reads.
func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	return n, refusal(err)
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.link.mu.Lock()
	delete(t.link.open, t.raw)
	t.link.mu.Unlock()
	if t.left != nil {
		t.left()
	}
	if t.end != nil {
		t.end.Stop()
	}
	return t.Conn.Close()
}

// refusal makes it plain when the other side has ended a handshake, which it
// does for a certificate that it won't have.
func refusal(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		e := errdefs.Wrap(errdefs.Unauthenticated, err, "the other side refuses this one's certificate")
		e.Hint = "both must be of one authority (ca.pem) and valid now, and a client's certificate is no node's"
		return e
	}
	return err
}
