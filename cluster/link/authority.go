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
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	nodeLife      = 2 * 365 * 24 * time.Hour
	clockDrift    = time.Hour // between the machines of a cluster, that a new certificate bears
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
	key, err := encodeKey(a.key)
	if err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, authorityKeyFile), key); err != nil {
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
	if !exists(path) {
		e := errdefs.New(errdefs.InvalidConfig, "there's no %s: the authority's key isn't in this tls_dir", path)
		e.Hint = "it's where `snakepit cluster init-tls` ran"
		return nil, e
	}
	key, err := readECKey(path)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s isn't the key of %s", path, authorityFile)
	}
	if err := inTime(filepath.Join(dir, authorityFile), certificate); err != nil {
		return nil, err
	}
	return &Authority{certificate, key}, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// Hash is what a token knows the authority by.
func (a *Authority) Hash() [sha256.Size]byte { return sha256.Sum256(a.certificate.Raw) }

const (
	maxHosts   = 32      // names and addresses in a certificate
	maxRequest = 8 << 10 // bytes of a request for one
)

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
	r, err := parseRequest(request)
	if err != nil {
		return nil, err
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

// parseRequest checks a request, which may be anybody's: how long that takes is
// bounded, as it isn't for keys of every kind.
func parseRequest(request []byte) (*x509.CertificateRequest, error) {
	if len(request) > maxRequest {
		return nil, errdefs.New(errdefs.InvalidArguments, "a request for a certificate of %d bytes", len(request))
	}
	r, err := x509.ParseCertificateRequest(request)
	if err == nil && r.PublicKeyAlgorithm != x509.ECDSA {
		err = errors.New("its key isn't one of ECDSA")
	}
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidArguments, err, "the request for a certificate")
	}
	if len(r.DNSNames)+len(r.IPAddresses) > maxHosts {
		return nil, errdefs.New(errdefs.InvalidArguments, "a certificate for more than %d hosts", maxHosts)
	}
	return r, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// serial is random, so that no two certificates share one.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
