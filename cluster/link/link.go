package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	greetWait   = 5 * time.Second  // for a connection's first byte, or its TLS handshake
	mostGreeted = 256              // connections that may be in that state
	mostUntaken = 64               // connections of one protocol that nobody has accepted
	mostJoining = 32               // connections of newcomers that may be open
	mostClients = 8192             // those of clients
	mostNodes   = 1024             // those of nodes, for Raft and for the rest each
	joinLife    = 30 * time.Second // for all that a newcomer has to say
)

// Config says where a link listens, and who it trusts. Only Addr must be set.
type Config struct {
	Addr      string       // HOST:PORT; port 0: any
	Advertise string       // what others dial; empty: the address that it listens on
	Identity  *Identity    // certificates; nil: none, which only loopback allows
	Logger    hclog.Logger // nil: silent
}

// Link is the port of one node.
type Link struct {
	cfg      Config
	log      hclog.Logger
	listener net.Listener
	doors    map[protocol]*door
	lobby    *lobby

	mu     sync.Mutex // guards all below
	closed bool
	open   map[net.Conn]struct{} // accepted or dialled, and not closed
}

// Listen opens the port; nothing is accepted before [Link.Run].
//
// Errors: invalid_config for an address that isn't one, is taken, or is beyond
// loopback without an identity.
func Listen(ctx context.Context, cfg Config) (*Link, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if err := cfg.checkReach(ctx); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the cluster's port")
	}
	n := &Link{
		cfg: cfg, log: cfg.Logger.Named("link"), listener: l,
		doors: map[protocol]*door{}, lobby: newLobby(), open: map[net.Conn]struct{}{},
	}
	for _, p := range protocols() {
		n.doors[p] = newDoor(n, p)
	}
	return n, nil
}

// checkReach refuses to be reached from elsewhere in plain text.
func (c Config) checkReach(ctx context.Context) error {
	for _, addr := range []string{c.Addr, c.Advertise} {
		if addr == "" && c.Addr != "" {
			continue
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return errdefs.Wrap(errdefs.InvalidConfig, err, "the cluster's address %q isn't HOST:PORT", addr)
		}
		if c.Identity == nil && !isLoopback(ctx, host) {
			e := errdefs.New(errdefs.InvalidConfig, "the cluster's address %s can be reached from elsewhere, and there are no certificates", addr)
			e.Hint = "make them with `snakepit cluster init-tls`, or stay on 127.0.0.1"
			return e
		}
	}
	return nil
}

// isLoopback reports whether a host is this machine's loopback, and nothing else.
func isLoopback(ctx context.Context, host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	if host == "" {
		return false // every interface
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	for _, a := range addrs {
		if !a.IP.IsLoopback() {
			return false
		}
	}
	return err == nil && len(addrs) > 0
}

// Addr is what others dial.
func (l *Link) Addr() string {
	if l.cfg.Advertise != "" {
		return l.cfg.Advertise
	}
	return l.listener.Addr().String()
}

// Run accepts connections until ctx ends, or the listener does, which is an error.
// It returns when every goroutine has ended and every connection is closed, those
// in use too.
func (l *Link) Run(ctx context.Context) error {
	var greeters sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.listener.Close() })
	defer stop()
	err := l.accept(ctx, &greeters)
	l.shut()
	greeters.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *Link) accept(ctx context.Context, greeters *sync.WaitGroup) error {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			if wait, ok := passing(err); ok && pause(ctx, wait) {
				continue
			}
			return err
		}
		place := l.lobby.enter(conn)
		greeters.Go(func() {
			defer l.lobby.leave(place)
			l.greet(ctx, conn)
		})
	}
}

// passing reports whether a failed accept may be tried again: out of descriptors, say.
func passing(err error) (time.Duration, bool) {
	const wait = 50 * time.Millisecond
	return wait, !errors.Is(err, net.ErrClosed)
}

// pause waits, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dial opens a connection to another node; node is its id, empty when that isn't
// known, which only an authority's certificate makes up for.
func (l *Link) dial(ctx context.Context, p protocol, addr, node string) (net.Conn, error) {
	if l.cfg.Identity == nil {
		if host, _, err := net.SplitHostPort(addr); err != nil || !isLoopback(ctx, host) {
			return nil, errdefs.New(errdefs.InvalidConfig, "%s can't be dialled without certificates", addr)
		}
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !l.track(raw) {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	conn, err := l.introduce(ctx, raw, p, addr, node)
	if err != nil {
		l.forget(raw)
		return nil, err
	}
	return &tracked{Conn: conn, raw: raw, link: l}, nil
}

// introduce says what the connection is for, and checks whom it reached.
func (l *Link) introduce(ctx context.Context, raw net.Conn, p protocol, addr, node string) (net.Conn, error) {
	if l.cfg.Identity == nil {
		_, err := raw.Write([]byte{byte(p)})
		return raw, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, l.cfg.Identity.clientConfig(p, node, host))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}

// track notes an open connection, and reports false when the link has ended.
func (l *Link) track(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.open[c] = struct{}{}
	}
	return !l.closed
}

func (l *Link) forget(c net.Conn) {
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	_ = c.Close()
}

// shut closes every connection: whoever reads from one would wait for ever.
func (l *Link) shut() {
	l.mu.Lock()
	l.closed = true
	open := l.open
	l.open = map[net.Conn]struct{}{}
	l.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
	for _, d := range l.doors {
		_ = d.Close()
	}
}
