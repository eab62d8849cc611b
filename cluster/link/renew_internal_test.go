package link

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// hermits is a cluster of one.
type hermits struct{}

func (hermits) Addresses() map[string]string { return map[string]string{"one": "127.0.0.1:1"} }

func (hermits) Dial(context.Context, string) (grpc.ClientConnInterface, error) {
	return nil, errdefs.New(errdefs.HostUnreachable, "there's nobody")
}

// aged writes a node's certificate that began and ends then.
func aged(t *testing.T, dir string, began, ends time.Time) *Authority {
	t.Helper()
	a, err := NewAuthority(dir, "a test's cluster")
	if err != nil {
		t.Fatal(err)
	}
	files := NodeFiles(dir)
	key, err := files.key()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "one"}, NotBefore: began, NotAfter: ends,
		DNSNames: []string{"db.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	template.URIs = append(template.URIs, NodeURI("one"))
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(files.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCertificateIsRenewedInItsLastThird(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		past, left time.Duration
		renewed    bool
	}{"in its first two": {50 * day, 40 * day, false}, "in its last": {70 * day, 20 * day, true}} {
		dir, now := t.TempDir(), time.Now()
		aged(t, dir, now.Add(-c.past), now.Add(c.left))
		before, err := os.ReadFile(filepath.Join(dir, nodeFile))
		if err != nil {
			t.Fatal(err)
		}
		who, err := LoadIdentity(NodeFiles(dir), nil)
		if err != nil {
			t.Fatal(err)
		}
		e := NewEnrolment(&Link{cfg: Config{Identity: who}}, EnrolConfig{Node: "one", Dir: dir, Members: hermits{}})
		if err := e.renewOnce(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.ReadFile(filepath.Join(dir, nodeFile))
		if err != nil || (string(after) != string(before)) != c.renewed {
			t.Errorf("%s: renewed: %v, %v", name, string(after) != string(before), err)
		}
		m, err := NodeFiles(dir).read()
		if err != nil || m.who.Name != "one" || len(m.certificate.Leaf.DNSNames) != 1 {
			t.Errorf("%s: it reads %v, %v", name, m, err)
		}
	}
}

func TestCertificateThatNobodyCanRenewIsKept(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	aged(t, dir, now.Add(-time.Hour), now.Add(time.Minute))
	if err := os.Remove(filepath.Join(dir, authorityKeyFile)); err != nil {
		t.Fatal(err)
	}
	who, err := LoadIdentity(NodeFiles(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEnrolment(&Link{cfg: Config{Identity: who}}, EnrolConfig{Node: "one", Dir: dir, Members: hermits{}})
	if err := e.renewOnce(t.Context()); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("it says %v", err)
	}
	if _, err := NodeFiles(dir).read(); err != nil {
		t.Error(err)
	}
}
