package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
	authorityLife    = 10 * 365 * 24 * time.Hour
	nodeLife         = 2 * 365 * 24 * time.Hour
	clockDrift       = time.Hour // between the machines of a cluster, that a new certificate bears
)

// Authority signs the certificates of a cluster's nodes.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority and writes it into dir, which is made if need
// be: ca.pem for everybody, and ca-key.pem for its user alone. One that's there
// already is never written over: that's exists.
func NewAuthority(dir, name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		NotBefore: now.Add(-clockDrift), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{certificate, key}
	return a, a.write(dir)
}

func (a *Authority) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errdefs.Wrap(errdefs.InvalidConfig, err, "the authority's folder")
	}
	if err := writeKey(filepath.Join(dir, authorityKeyFile), a.key); err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, authorityFile), a.PEM())
}

// OpenAuthority reads an authority that NewAuthority wrote.
func OpenAuthority(dir string) (*Authority, error) {
	certificate, err := readCertificate(filepath.Join(dir, authorityFile))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, authorityKeyFile)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the authority's key")
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s has no key", path)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil || !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s isn't the key of %s", path, authorityFile)
	}
	return &Authority{certificate, key}, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "a certificate")
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s has no certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "%s", path)
	}
	return c, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// Hash is what a token knows the authority by.
func (a *Authority) Hash() [sha256.Size]byte { return sha256.Sum256(a.certificate.Raw) }

// Request makes a key for a node, and the request by which its certificate is
// asked for. hosts are the names and addresses by which clients reach the node.
func Request(hosts []string) (key *ecdsa.PrivateKey, request []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	names, ips := splitHosts(hosts)
	request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names, IPAddresses: ips}, key)
	return key, request, err
}

func splitHosts(hosts []string) (names []string, ips []net.IP) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, h)
		}
	}
	return names, ips
}

// maxHosts is how many names and addresses a certificate may have.
const maxHosts = 32

// Sign gives a node its certificate, and returns it as PEM with the authority's
// behind it. The id is what the caller has checked; nothing but the key and
// the hosts is taken from the request.
//
// Errors: invalid_arguments for a request or an id that isn't one.
func (a *Authority) Sign(request []byte, node string) ([]byte, error) {
	if err := names.CheckID("node", node); err != nil {
		return nil, err
	}
	return a.sign(request, &x509.Certificate{
		Subject: pkix.Name{CommonName: node}, URIs: []*url.URL{NodeURI(node)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// SignClient is the same for a client, whose certificate is good for the API alone.
func (a *Authority) SignClient(request []byte, name string) ([]byte, error) {
	if err := names.CheckID("client", name); err != nil {
		return nil, err
	}
	return a.sign(request, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{ClientURI(name)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *Authority) sign(request []byte, template *x509.Certificate) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the request for a certificate")
	}
	if len(r.DNSNames)+len(r.IPAddresses) > maxHosts {
		return nil, errdefs.New(errdefs.InvalidArguments, "a certificate for more than %d hosts", maxHosts)
	}
	now := time.Now()
	template.SerialNumber, template.KeyUsage = serial(), x509.KeyUsageDigitalSignature
	template.DNSNames, template.IPAddresses = r.DNSNames, r.IPAddresses
	template.NotBefore, template.NotAfter = now.Add(-clockDrift), earlier(now.Add(nodeLife), a.certificate.NotAfter)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, r.PublicKey, a.key)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the request for a certificate")
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.PEM()...), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Save writes a node's certificate, its key and its authority's certificate into dir.
func Save(dir string, certificate, authority []byte, key *ecdsa.PrivateKey) (Files, error) {
	f := Files{
		Certificate: filepath.Join(dir, "node.pem"), Key: filepath.Join(dir, "node-key.pem"),
		Authority: filepath.Join(dir, authorityFile),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, errdefs.Wrap(errdefs.InvalidConfig, err, "the folder of certificates")
	}
	if err := writeKey(f.Key, key); err != nil {
		return f, err
	}
	if err := writeNew(f.Certificate, certificate); err != nil {
		return f, err
	}
	if err := writeNew(f.Authority, authority); err != nil && errdefs.ReasonOf(err) != errdefs.Exists {
		return f, err
	}
	return f, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// writeNew writes a file for its user alone, and never over another.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		e := errdefs.New(errdefs.Exists, "%s is there already", path)
		e.Hint = "move it away to make a new one"
		return e
	}
	if err != nil {
		return errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// serial is random, so that no two certificates share one.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
