package link_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/cluster/link"
)

// outside is an authority that isn't one of link's.
type outside struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outside"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &outside{certificate, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate that names nobody but hosts.
func (a *outside) issue(t *testing.T, usage []x509.ExtKeyUsage, hosts ...string) link.Files {
	t.Helper()
	template := &x509.Certificate{ExtKeyUsage: usage, Subject: pkix.Name{CommonName: "somebody"}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	return a.write(t, template)
}

// names writes a certificate with these URIs, for all uses.
func (a *outside) names(t *testing.T, uris ...*url.URL) link.Files {
	t.Helper()
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return a.write(t, &x509.Certificate{ExtKeyUsage: usage, URIs: uris})
}

// write signs a template and writes the files of it. It's valid for an hour, if the
// template doesn't say until when.
func (a *outside) write(t *testing.T, template *x509.Certificate) link.Files {
	t.Helper()
	key := newKey(t)
	template.SerialNumber, template.NotBefore = big.NewInt(2), time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := link.Files{Certificate: filepath.Join(dir, "its.pem"), Key: filepath.Join(dir, "its-key.pem"), Authority: filepath.Join(dir, "ca.pem")}
	writePEM(t, files.Certificate, "CERTIFICATE", der)
	writePEM(t, files.Key, "EC PRIVATE KEY", private)
	writePEM(t, files.Authority, "CERTIFICATE", a.certificate.Raw)
	return files
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
