package link

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// lobby is where connections are that haven't said yet what they want. When it's
// full, a new one takes the place of the one that has been silent the longest: so
// strangers who say nothing keep nobody out who speaks at once.
type lobby struct {
	running chan struct{} // one token a greeting that hasn't ended

	mu      sync.Mutex // guards all below
	waiting *list.List // of net.Conn, the oldest first
}

func newLobby() *lobby {
	return &lobby{running: make(chan struct{}, 2*mostGreeted), waiting: list.New()}
}

// enter gives a connection a place. It waits, a moment, only when more have been put
// out than have gone.
func (l *lobby) enter(c net.Conn) *list.Element {
	l.running <- struct{}{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting.Len() >= mostGreeted {
		oldest, _ := l.waiting.Remove(l.waiting.Front()).(net.Conn)
		_ = oldest.Close()
	}
	return l.waiting.PushBack(c)
}

// leave gives the place up.
func (l *lobby) leave(place *list.Element) {
	l.mu.Lock()
	l.waiting.Remove(place) // it does nothing for one who was put out
	l.mu.Unlock()
	<-l.running
}

// greet learns what a connection is for, and hands it on.
func (l *Link) greet(ctx context.Context, raw net.Conn) {
	if !l.track(raw) {
		_ = raw.Close()
		return
	}
	conn, p, err := l.identify(ctx, raw)
	if err != nil {
		l.log.Debug("a connection was refused", "from", raw.RemoteAddr(), "error", err)
		l.forget(raw)
		return
	}
	t := &tracked{Conn: conn, raw: raw, link: l}
	if p == speakJoin {
		t.expire(joinLife)
	}
	if !l.doors[p].enter(t) {
		l.log.Debug("a connection was refused: there are too many, or nobody takes them any more", "from", raw.RemoteAddr(), "kind", p.alpn())
		_ = t.Close()
	}
}

func (l *Link) identify(ctx context.Context, raw net.Conn) (net.Conn, protocol, error) {
	deadline := time.Now().Add(greetWait)
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, 0, err
	}
	conn, p, err := l.introduction(ctx, raw)
	if err != nil {
		return nil, 0, err
	}
	if l.doors[p] == nil {
		return nil, 0, errdefs.New(errdefs.Unauthenticated, "it speaks nothing that is spoken here")
	}
	return conn, p, raw.SetDeadline(time.Time{})
}

func (l *Link) introduction(ctx context.Context, raw net.Conn) (net.Conn, protocol, error) {
	if l.cfg.Identity == nil {
		return plainly(raw)
	}
	conn := tls.Server(raw, l.cfg.Identity.serverConfig())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, 0, err
	}
	p := named(conn.ConnectionState().NegotiatedProtocol)
	if node := Peer(conn); p != speakNode && node != "" && l.cfg.Removed != nil && l.cfg.Removed(node) {
		return nil, 0, errdefs.New(errdefs.NodeRemoved, "node %s isn't a member any more", names.Cut(node))
	}
	return conn, p, nil
}

// preface is what every HTTP/2 client says first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// What whoever begins with TLS sends first where there's none, and what it's told: an
// alert, handshake_failure (RFC 8446, section 6), so that it needn't guess.
const (
	tlsHello   protocol = 22
	tlsRefusal          = "\x15\x03\x03\x00\x02\x02\x28"
)

// plainly tells by the first byte what is spoken. A client's whole preface is
// waited for, and given back: whoever sends half of it goes no further.
func plainly(raw net.Conn) (net.Conn, protocol, error) {
	said := make([]byte, len(preface))
	if _, err := io.ReadFull(raw, said[:1]); err != nil {
		return nil, 0, err
	}
	p := protocol(said[0])
	if p == tlsHello {
		_, err := raw.Write([]byte(tlsRefusal))
		return nil, 0, errors.Join(errdefs.New(errdefs.Protocol, "it speaks TLS, and there are no certificates here"), err)
	}
	if p != speakAPI {
		return raw, p, nil
	}
	if _, err := io.ReadFull(raw, said[1:]); err != nil {
		return nil, 0, err
	}
	if string(said) != preface {
		return nil, 0, errdefs.New(errdefs.Protocol, "it doesn't speak HTTP/2")
	}
	return &begun{Conn: raw, said: said}, p, nil
}

// begun is a connection from which something was read that is given back.
type begun struct {
	net.Conn
	said []byte // only its reader touches it
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.said) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.said)
	b.said = b.said[n:]
	return n, nil
}
