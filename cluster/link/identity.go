package link

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lookEvery is how often the files of an identity are looked at, at most.
const lookEvery = time.Second

// Identity is who this node is and whom it trusts. Its files may be replaced at any
// time: connections from then on use the new ones. Files that can't be read
// leave it as it was.
type Identity struct {
	files   Files
	refused func(error) // told when the files have changed and can't be used

	mu     sync.Mutex // guards all below
	loaded *material
	looked time.Time
	stamp  stamp
}

// stamp tells whether files have changed.
type stamp [3]struct {
	size int64
	time time.Time
}

// LoadIdentity reads an identity. refused is told when its files have changed and
// can't be used; nil: nobody is.
//
// Errors: invalid_config, which names the file.
func LoadIdentity(files Files, refused func(error)) (*Identity, error) {
	m, err := files.read()
	if err != nil {
		return nil, err
	}
	if refused == nil {
		refused = func(error) {}
	}
	return &Identity{files: files, refused: refused, loaded: m, looked: time.Now(), stamp: files.stamp()}, nil
}

// Who says whose identity it is.
func (i *Identity) Who() Who { return i.current().who }

// Expires says until when the certificate is good.
func (i *Identity) Expires() time.Time { return i.current().certificate.Leaf.NotAfter }

func (f Files) stamp() stamp {
	var s stamp
	for i, path := range []string{f.Certificate, f.Key, f.Authority} {
		if st, err := os.Stat(path); err == nil {
			s[i].size, s[i].time = st.Size(), st.ModTime()
		}
	}
	return s
}

// current is the newest reading of the files.
func (i *Identity) current() *material {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.looked) < lookEvery {
		return i.loaded
	}
	i.looked = time.Now()
	now := i.files.stamp()
	if now == i.stamp {
		return i.loaded
	}
	m, err := i.files.read()
	if err != nil {
		i.refused(err) // half of them may be written: they're looked at again
		return i.loaded
	}
	i.loaded, i.stamp = m, now
	return m
}

// serverConfig demands a certificate of whoever doesn't come to join. No session is
// taken up again: each connection proves anew who it is.
func (i *Identity) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			m := i.current()
			c := &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.certificate}, SessionTicketsDisabled: true,
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.authority, VerifyConnection: verifyCaller,
				NextProtos: []string{speakRaft.alpn(), speakNode.alpn(), speakAPI.alpn()},
			}
			if len(hello.SupportedProtos) == 1 && named(hello.SupportedProtos[0]) == speakJoin {
				c.ClientAuth, c.ClientCAs, c.NextProtos = tls.NoClientCert, nil, []string{speakJoin.alpn()}
				c.Certificates = []tls.Certificate{m.introduced()}
			}
			return c, nil
		},
	}
}

// introduced is the certificate with its authority's behind it: a newcomer knows that
// one by its hash alone.
func (m *material) introduced() tls.Certificate {
	c := m.certificate
	if slices.ContainsFunc(c.Certificate[1:], func(der []byte) bool { return bytes.Equal(der, m.root.Raw) }) {
		return c
	}
	c.Certificate = append(slices.Clone(c.Certificate), m.root.Raw)
	return c
}

// verifyCaller checks that whoever shows a certificate of the authority may speak
// what it asked for.
func verifyCaller(s tls.ConnectionState) error {
	p, who := named(s.NegotiatedProtocol), Who{}
	if len(s.PeerCertificates) > 0 {
		who = whoOf(s.PeerCertificates[0])
	}
	if !p.admits(who) {
		return errdefs.New(errdefs.Unauthenticated, "a %s may not speak %q here", who.Kind, s.NegotiatedProtocol)
	}
	return nil
}

// clientConfig checks the node that was reached. A certificate of the authority
// that names no node must be for the host that was dialled instead.
func (i *Identity) clientConfig(p protocol, node, host string) *tls.Config {
	m := i.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.certificate}, RootCAs: m.authority,
		NextProtos: []string{p.alpn()}, ServerName: "node.snakepit",
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it: a node's name is its id, not its address
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyNode(s, m.authority, node, host) },
	}
}

// verifyNode checks that a server is of the authority, and the node that was meant.
func verifyNode(s tls.ConnectionState, authority *x509.CertPool, node, host string) error {
	leaf, rest := s.PeerCertificates[0], x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: authority, Intermediates: rest}); err != nil {
		return errdefs.Wrap(errdefs.Unauthenticated, err, "the other node's certificate")
	}
	switch is := whoOf(leaf); {
	case is.Kind != Node:
		return errdefs.New(errdefs.Unauthenticated, "the other end shows the certificate of a %s, not a node's", is.Kind)
	case is.Name == "":
		if err := leaf.VerifyHostname(host); err != nil {
			return errdefs.Wrap(errdefs.Unauthenticated, err, "a certificate that names no node")
		}
	case node != "" && is.Name != node:
		return errdefs.New(errdefs.Unauthenticated, "this is node %s, where %s was expected", is.Name, node)
	}
	return nil
}
