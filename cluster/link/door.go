package link

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// door is where the connections of one protocol arrive. It's a net.Listener.
type door struct {
	link     *Link
	protocol protocol
	arrived  chan net.Conn
	ended    chan struct{} // closed when the link has ended, or the door is closed
	once     sync.Once     // for that
}

// enter hands a connection to whoever accepts, and reports whether there was room.
func (d *door) enter(c net.Conn) bool {
	select {
	case <-d.ended:
		return false
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

// Close implements net.Listener: nobody comes in any more. The link, and the other
// doors, go on.
func (d *door) Close() error {
	d.once.Do(func() { close(d.ended) })
	return nil
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
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.link.mu.Lock()
	delete(t.link.open, t.raw)
	t.link.mu.Unlock()
	return t.Conn.Close()
}

// Peer is the id of the node at the other end of a connection, as its certificate
// says; empty without TLS, and for a certificate that names none.
func Peer(c net.Conn) string {
	if t, ok := c.(*tracked); ok {
		c = t.Conn
	}
	t, ok := c.(*tls.Conn)
	if !ok {
		return ""
	}
	certs := t.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return ""
	}
	return nodeOf(certs[0])
}
