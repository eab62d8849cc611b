package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// IssueNode sees to the certificate of a node in its folder, which has the
// authority's key too; one that's there already is kept, if it's that node's and
// hasn't expired. hosts
// are the names and addresses by which clients reach it.
//
// Errors: invalid_config for files that can't be used or are another node's.
func IssueNode(dir, node string, hosts []string) (Files, error) {
	files := NodeFiles(dir)
	if c, err := readCertificate(files.Certificate); err == nil && time.Now().After(c.NotAfter) && whoOf(c).Name == node {
		if err := os.Remove(files.Certificate); err != nil {
			return files, errdefs.Wrap(errdefs.InvalidConfig, err, "a certificate that has expired")
		}
	}
	if exists(files.Certificate) {
		return files, files.belongTo(node)
	}
	a, err := OpenAuthority(dir)
	if err != nil {
		return files, err
	}
	return a.IssueNode(dir, node, hosts)
}

// HasAuthority reports whether an authority's key is in a folder of certificates.
func HasAuthority(dir string) bool { return exists(filepath.Join(dir, authorityKeyFile)) }

// IssueNode makes a node's key and certificate, and writes them into a folder with
// the authority's certificate. Nothing that's there is written over but a key
// without a certificate.
func (a *Authority) IssueNode(dir, node string, hosts []string) (Files, error) {
	return NodeFiles(dir), a.issue(NodeFiles(dir), hosts, func(request []byte) ([]byte, error) { return a.Sign(request, node) })
}

// IssueClient is the same for a client.
func (a *Authority) IssueClient(dir, name string) (Files, error) {
	f := NodeFiles(dir)
	f.Certificate, f.Key = filepath.Join(dir, clientFile), filepath.Join(dir, clientKeyFile)
	return f, a.issue(f, nil, func(request []byte) ([]byte, error) { return a.SignClient(request, name) })
}

func (a *Authority) issue(f Files, hosts []string, sign func([]byte) ([]byte, error)) error {
	if exists(f.Certificate) {
		return writeNew(f.Certificate, nil) // it says so
	}
	key, err := f.key()
	if err != nil {
		return err
	}
	request, err := Request(key, hosts)
	if err != nil {
		return err
	}
	certificate, err := sign(request)
	if err != nil {
		return err
	}
	if err := f.trust(a.PEM()); err != nil {
		return err
	}
	return replace(f.Certificate, certificate)
}

// Request asks for a certificate for a key. hosts are the names and addresses by
// which clients reach its node.
func Request(key *ecdsa.PrivateKey, hosts []string) ([]byte, error) {
	r := &x509.CertificateRequest{}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			r.IPAddresses = append(r.IPAddresses, ip)
		} else if h != "" {
			r.DNSNames = append(r.DNSNames, h)
		}
	}
	return x509.CreateCertificateRequest(rand.Reader, r, key)
}

// key is the key that an earlier attempt has left, or a new one.
func (f Files) key() (*ecdsa.PrivateKey, error) {
	if exists(f.Key) {
		return readECKey(f.Key)
	}
	if err := os.MkdirAll(filepath.Dir(f.Key), 0o700); err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the folder of certificates")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	content, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, replace(f.Key, content)
}

func readECKey(path string) (*ecdsa.PrivateKey, error) {
	content, err := readKey(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s has no key", path)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the key %s", path)
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// trust writes the authority's certificate, unless it's there. Another one's is
// never written over.
func (f Files) trust(authority []byte) error {
	if !exists(f.Authority) {
		return replace(f.Authority, authority)
	}
	there, err := readFile(f.Authority)
	if err != nil {
		return err
	}
	for block, rest := pem.Decode(authority); block != nil; block, rest = pem.Decode(rest) {
		if holds(there, block.Bytes) {
			return nil
		}
	}
	e := errdefs.New(errdefs.WrongCluster, "%s is of another cluster's authority", f.Authority)
	e.Hint = "give this node a folder of its own for its certificates"
	return e
}

// holds reports whether a certificate is among those of a file.
func holds(content, der []byte) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if string(block.Bytes) == string(der) {
			return true
		}
	}
	return false
}

// belongTo refuses files that are another node's, or a client's.
func (f Files) belongTo(node string) error {
	m, err := f.read()
	if err != nil {
		return err
	}
	return m.who.mustBe(node, f.Certificate)
}

// mustBe refuses whoever isn't that node. A certificate that names nobody may be
// any node's.
func (w Who) mustBe(node, path string) error {
	if w.Kind == Node && (w.Name == "" || w.Name == node || node == "") {
		return nil
	}
	e := errdefs.New(errdefs.InvalidConfig, "%s is of %s %q, and this is node %q", path, w.Kind, w.Name, node)
	e.Hint = "each node has a certificate of its own: move that one and its key away to get one"
	return e
}
