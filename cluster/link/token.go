package link

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	tokenPrefix = "snakepit1-"
	secretSize  = 20
)

// Token lets a newcomer join: it knows the authority by its hash, so that the
// newcomer can tell the cluster, and a secret, so that the cluster can tell the
// newcomer.
type Token struct {
	Authority [sha256.Size]byte // zero: there is none, since the cluster stays on loopback
	Secret    [secretSize]byte  // good for one joining
}

// NewToken makes a token with a new secret.
func NewToken(authority [sha256.Size]byte) Token {
	t := Token{Authority: authority}
	_, _ = rand.Read(t.Secret[:]) // never fails
	return t
}

// NewToken makes a token for the cluster that the link belongs to. Its secret's hash
// is for the registry to keep; the secret is kept nowhere.
func (l *Link) NewToken() Token {
	if l.cfg.Identity == nil {
		return NewToken([sha256.Size]byte{})
	}
	return NewToken(sha256.Sum256(l.cfg.Identity.current().root.Raw))
}

// String is what the operator carries from one machine to the other.
func (t Token) String() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(t.Authority[:], t.Secret[:]...))
}

// ParseToken reads what String gave. It fails with invalid_arguments.
func ParseToken(text string) (t Token, err error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	b, err := base64.RawURLEncoding.DecodeString(body)
	if !ok || err != nil || len(b) != len(t.Authority)+secretSize {
		e := errdefs.New(errdefs.InvalidArguments, "this isn't a token to join with")
		e.Hint = tokenHint
		return Token{}, e
	}
	copy(t.Authority[:], b)
	copy(t.Secret[:], b[len(t.Authority):])
	return t, nil
}

// SecretHash is what the cluster remembers of a token, instead of the token.
func (t Token) SecretHash() [sha256.Size]byte { return sha256.Sum256([]byte(t.String())) }

// DialJoin connects to a member as a newcomer, and makes sure that it's of the
// token's cluster. Without an authority in the token it dials loopback alone.
func DialJoin(ctx context.Context, addr string, t Token) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the member's address %q isn't HOST:PORT", addr)
	}
	var d net.Dialer
	plain := !t.sealed()
	if plain && !isLoopback(ctx, host) {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s can't be joined with this token: its cluster has no certificates", addr)
	}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := raw
	if plain {
		_, err = raw.Write([]byte{byte(speakJoin)})
	} else {
		conn, err = t.handshake(ctx, raw)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func (t Token) handshake(ctx context.Context, raw net.Conn) (net.Conn, error) {
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{speakJoin.alpn()}, ServerName: "node.snakepit",
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it: the authority isn't known but for its hash
		VerifyConnection:   t.verify,
	})
	return conn, conn.HandshakeContext(ctx)
}

// verify finds the token's authority among the certificates that the member sent,
// and checks that the member's own is of it.
func (t Token) verify(s tls.ConnectionState) error {
	roots := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		if hash := sha256.Sum256(c.Raw); subtle.ConstantTimeCompare(hash[:], t.Authority[:]) == 1 {
			roots.AddCert(c)
		}
	}
	if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		return errdefs.Wrap(errdefs.Unauthenticated, err, "the member isn't of this token's cluster")
	}
	return nil
}
