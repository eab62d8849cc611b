package link

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lookEvery is how often the files of an identity are looked at, at most.
const lookEvery = time.Second

// Files are where an identity is kept, as PEM.
type Files struct {
	Certificate string // the node's, its authority's behind it if there are several
	Key         string // readable by its user alone
	Authority   string // certificates of who signs for the cluster's nodes
}

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

// material is one reading of the files; it isn't changed.
type material struct {
	certificate tls.Certificate
	authority   *x509.CertPool
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

func (f Files) read() (*material, error) {
	cert, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the certificate %s and its key %s", f.Certificate, f.Key)
	}
	content, err := os.ReadFile(f.Authority)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the authority's certificate")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s has no certificate", f.Authority)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: intermediates(cert), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "%s isn't of the authority in %s", f.Certificate, f.Authority)
	}
	return &material{certificate: cert, authority: pool}, nil
}

func intermediates(cert tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

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
			}
			return c, nil
		},
	}
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
