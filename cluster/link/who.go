package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Kind is what somebody has proved to be.
type Kind uint8

// The kinds. A stranger has proved nothing: that's everybody where there's no TLS.
const (
	Stranger Kind = iota
	Node
	Client
)

// String is for people.
func (k Kind) String() string {
	switch k {
	case Node:
		return "node"
	case Client:
		return "client"
	case Stranger:
	}
	return "stranger"
}

// Who is at the other end of a connection.
type Who struct {
	Kind Kind
	Name string // the node's id or the client's name; empty for who has neither
}

const nodeScheme, nodePrefix, clientPrefix = "snakepit", "node/", "client/"

// NodeURI is what a certificate says of whose it is: a URI among its alternative
// names, snakepit:node/ID.
func NodeURI(node string) *url.URL { return &url.URL{Scheme: nodeScheme, Opaque: nodePrefix + node} }

// ClientURI is the same for a client: snakepit:client/NAME.
func ClientURI(name string) *url.URL {
	return &url.URL{Scheme: nodeScheme, Opaque: clientPrefix + name}
}

// whoOf is whom a certificate names. One that names nobody, as an outside
// authority's may, is a node's if it's meant for servers, and a client's otherwise.
// One that names two is nobody's.
func whoOf(c *x509.Certificate) Who {
	var named []string
	for _, u := range c.URIs {
		if u.Scheme == nodeScheme {
			named = append(named, u.Opaque)
		}
	}
	switch len(named) {
	case 0:
		if slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
			return Who{Kind: Node}
		}
		return Who{Kind: Client, Name: c.Subject.CommonName}
	case 1:
		return parseWho(named[0])
	}
	return Who{}
}

func parseWho(text string) Who {
	if id, ok := strings.CutPrefix(text, nodePrefix); ok && id != "" {
		return Who{Kind: Node, Name: id}
	}
	if name, ok := strings.CutPrefix(text, clientPrefix); ok && name != "" {
		return Who{Kind: Client, Name: name}
	}
	return Who{}
}

// WhoIs says who is at the other end of a connection of a link, as its certificate
// says; a stranger without TLS.
func WhoIs(c net.Conn) Who {
	if t, ok := c.(*tracked); ok {
		c = t.Conn
	}
	t, ok := c.(*tls.Conn)
	if !ok {
		return Who{}
	}
	certs := t.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return Who{}
	}
	return whoOf(certs[0])
}

// Peer is the id of the node at the other end of a connection; empty without TLS,
// for a certificate that names none, and for a client.
func Peer(c net.Conn) string {
	if who := WhoIs(c); who.Kind == Node {
		return who.Name
	}
	return ""
}

// Credentials are for a gRPC server on one of a link's doors: they add nothing to
// the connection, and let [Caller] tell whose a call is.
func Credentials() credentials.TransportCredentials { return passport{} }

// Caller says who makes a call that came in under [Credentials]; a stranger
// elsewhere.
func Caller(ctx context.Context) Who {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Who{}
	}
	shown, _ := p.AuthInfo.(shown)
	return shown.who
}

// shown is what a connection has proved, as gRPC carries it.
type shown struct {
	credentials.CommonAuthInfo

	who Who
}

// AuthType implements credentials.AuthInfo.
func (shown) AuthType() string { return "snakepit" }

// passport implements credentials.TransportCredentials over connections that are
// secure already, or needn't be.
type passport struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (passport) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	level := credentials.NoSecurity
	if t, ok := c.(*tracked); ok {
		if _, ok := t.Conn.(*tls.Conn); ok {
			level = credentials.PrivacyAndIntegrity
		}
	}
	return c, shown{credentials.CommonAuthInfo{SecurityLevel: level}, WhoIs(c)}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (p passport) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return p.ServerHandshake(c)
}

// Info implements credentials.TransportCredentials.
func (passport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "snakepit"}
}

// Clone implements credentials.TransportCredentials.
func (p passport) Clone() credentials.TransportCredentials { return p }

// OverrideServerName implements credentials.TransportCredentials.
func (passport) OverrideServerName(string) error { return nil }
