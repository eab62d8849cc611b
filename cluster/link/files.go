package link

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// What a folder of certificates has (the knob tls_dir). The authority's key is only
// where new nodes may be signed for.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
	nodeFile         = "node.pem"
	nodeKeyFile      = "node-key.pem"
	clientFile       = "client.pem"
	clientKeyFile    = "client-key.pem"
)

// Files are where an identity is kept, as PEM.
type Files struct {
	Certificate string // its own, its authority's behind it if there are several
	Key         string // readable by its user alone
	Authority   string // certificates of who signs for the cluster's nodes
}

// NodeFiles are those of a node in a folder of certificates.
func NodeFiles(dir string) Files {
	return Files{Certificate: filepath.Join(dir, nodeFile), Key: filepath.Join(dir, nodeKeyFile), Authority: filepath.Join(dir, authorityFile)}
}

// ClientFiles are those of a client in a folder of certificates; the node's where
// the folder is a node's and has none for a client.
func ClientFiles(dir string) Files {
	f := Files{Certificate: filepath.Join(dir, clientFile), Key: filepath.Join(dir, clientKeyFile), Authority: filepath.Join(dir, authorityFile)}
	if node := NodeFiles(dir); !exists(f.Certificate) && exists(node.Certificate) {
		return node
	}
	return f
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// material is one reading of the files; it isn't changed.
type material struct {
	certificate tls.Certificate
	authority   *x509.CertPool
	root        *x509.Certificate // who signed for the certificate in the end
	who         Who
}

// maxFile bounds what is read of a file of certificates, in bytes.
const maxFile = 1 << 20

func (f Files) read() (*material, error) {
	content, err := readFile(f.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := readKey(f.Key)
	if err != nil {
		return nil, err
	}
	authority, err := readFile(f.Authority)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(content, key)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "the certificate %s and its key %s", f.Certificate, f.Key)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errdefs.New(errdefs.InvalidConfig, "%s has no certificate", f.Authority)
	}
	root, err := f.rootOf(certificate, pool)
	if err != nil {
		return nil, err
	}
	return &material{certificate: certificate, authority: pool, root: root, who: whoOf(certificate.Leaf)}, nil
}

// rootOf checks that the certificate is of the authority and valid now, and says of
// which of its certificates it is.
func (f Files) rootOf(certificate tls.Certificate, pool *x509.CertPool) (*x509.Certificate, error) {
	if err := inTime(f.Certificate, certificate.Leaf); err != nil {
		return nil, err
	}
	chains, err := certificate.Leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates(certificate), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "%s isn't of the authority in %s", f.Certificate, f.Authority)
	}
	return chains[0][len(chains[0])-1], nil
}

// inTime refuses a certificate that is too old or too new.
func inTime(path string, c *x509.Certificate) error {
	const day = "2006-01-02 15:04 MST"
	now := time.Now()
	if now.After(c.NotAfter) {
		e := errdefs.New(errdefs.InvalidConfig, "%s has expired, on %s", path, c.NotAfter.UTC().Format(day))
		e.Hint = "put a new one in its place; a running host takes it up"
		return e
	}
	if now.Before(c.NotBefore) {
		e := errdefs.New(errdefs.InvalidConfig, "%s isn't valid before %s", path, c.NotBefore.UTC().Format(day))
		e.Hint = "is this machine's clock right?"
		return e
	}
	return nil
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

// readFile reads a file of certificates.
func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		e := errdefs.New(errdefs.InvalidConfig, "there's no %s", path)
		e.Hint = "`snakepit cluster init-tls` makes an authority, and a token lets a node get its certificate"
		return nil, e
	}
	if err == nil && st.Size() > maxFile {
		err = fmt.Errorf("%d bytes are no certificate", st.Size())
	}
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	return content, nil
}

// readKey is the same for a key, which nobody else may be able to read.
func readKey(path string) ([]byte, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	if others := othersMay(st); others != 0 {
		e := errdefs.New(errdefs.InvalidConfig, "the key %s is open to others: its mode is %#o", path, st.Mode().Perm())
		e.Hint = "chmod 600 " + path
		return nil, e
	}
	return content, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
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

// replace writes a file for its user alone, whole or not at all, and durably.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".next-*") // its mode is 0600
	if err != nil {
		return errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may be there or not
		return errdefs.Wrap(errdefs.InvalidConfig, err, "a file of certificates")
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return errdefs.Wrap(errdefs.InvalidConfig, err, "the folder of certificates")
	}
	return errors.Join(dir.Sync(), dir.Close())
}
