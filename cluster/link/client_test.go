package link_test

import (
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// dialler is a client's TLS with the files of a folder.
func dialler(t *testing.T, files link.Files) credentials.TransportCredentials {
	t.Helper()
	cfg, err := link.ClientTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewTLS(cfg)
}

func TestClientReachesItsClusterAndNoOther(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	others, _ := authority(t)
	o := newOutside(t)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	ours, theirs := running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, signed(t, others, "one")))
	named, unnamed := running(t, identity(t, o.issue(t, both, "localhost"))), running(t, identity(t, o.issue(t, both, "db.example")))
	client, outside := signedClient(t, a, "cli"), o.names(t, link.ClientURI("cli"))
	for name, c := range map[string]struct {
		at    *link.Link
		files link.Files
		want  string
	}{
		"its own":                       {ours, client, `a client called "cli"`},
		"another one":                   {theirs, client, "the other node's certificate"},
		"a node by its host":            {named, outside, `a client called "cli"`},
		"a node that is another host's": {unnamed, outside, "a certificate that names no node"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirrored(t, c.at)
			_, port, err := net.SplitHostPort(c.at.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if got := calls(t, "localhost:"+port, dialler(t, c.files)); !strings.Contains(got, c.want) {
				t.Errorf("it says %s, want %s", got, c.want)
			}
		})
	}
}

func TestClientIsNotMisledByAnotherClient(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	cfg, err := link.ClientTLS(o.names(t, link.ClientURI("cli")))
	if err != nil {
		t.Fatal(err)
	}
	server := by(t, o.names(t, link.ClientURI("another")), "h2")
	if got := handshake(t, server, cfg); errdefs.ReasonOf(got) != errdefs.Unauthenticated {
		t.Errorf("it says %v", got)
	}
}

func TestClientUsesNewFilesWithoutARestart(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	server := running(t, identity(t, signed(t, a, "one")))
	mirrored(t, server)
	files := signedClient(t, a, "cli")
	creds := dialler(t, files)
	replace(t, signedClient(t, a, "renamed"), files)
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := calls(t, server.Addr(), creds)
		if strings.HasSuffix(got, `a client called "renamed"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it says %s", got)
		}
	}
}

func TestFolderOfANodeServesItsClientsToo(t *testing.T) {
	t.Parallel()
	a, dir := authority(t)
	if _, err := link.IssueNode(dir, "one", nil); err != nil {
		t.Fatal(err)
	}
	if got := link.ClientFiles(dir); got != link.NodeFiles(dir) {
		t.Errorf("it has %v", got)
	}
	want, err := a.IssueClient(dir, "cli")
	if err != nil {
		t.Fatal(err)
	}
	if got := link.ClientFiles(dir); got != want || filepath.Base(got.Certificate) != "client.pem" {
		t.Errorf("it has %v, want %v", got, want)
	}
}

func TestFilesThatCannotBeUsedSayWhy(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	good := o.names(t, link.NodeURI("one"))
	uris := []*url.URL{link.NodeURI("one")}
	for name, c := range map[string]struct {
		files link.Files
		says  []string
	}{
		"no folder":     {link.NodeFiles(filepath.Join(t.TempDir(), "none")), []string{"there's no", "node.pem", "init-tls"}},
		"no key":        {link.Files{Certificate: good.Certificate, Key: good.Key + ".gone", Authority: good.Authority}, []string{good.Key + ".gone"}},
		"no authority":  {link.Files{Certificate: good.Certificate, Key: good.Key, Authority: good.Authority + ".gone"}, []string{good.Authority + ".gone"}},
		"an open key":   {opened(t, o.names(t, link.NodeURI("one"))), []string{"open to others", "0644", "chmod 600"}},
		"an old one":    {o.write(t, &x509.Certificate{URIs: uris, NotAfter: time.Now().Add(-time.Minute)}), []string{"has expired", "its.pem"}},
		"another's":     {link.Files{Certificate: good.Certificate, Key: good.Key, Authority: newOutside(t).names(t).Authority}, []string{"isn't of the authority"}},
		"another's key": {link.Files{Certificate: good.Certificate, Key: o.names(t).Key, Authority: good.Authority}, []string{good.Certificate, "private key"}},
	} {
		_, err := link.LoadIdentity(c.files, nil)
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v says nothing of %q", name, err, word)
			}
		}
		if _, err := link.ClientTLS(c.files); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s, as a client: %v", name, err)
		}
	}
}

// opened makes a key readable by everybody.
func opened(t *testing.T, files link.Files) link.Files {
	t.Helper()
	if err := os.Chmod(files.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestKeyOfTheAuthorityMustBeItsUsersAlone(t *testing.T) {
	t.Parallel()
	_, dir := authority(t)
	if err := os.Chmod(filepath.Join(dir, "ca-key.pem"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := link.OpenAuthority(dir); errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("it says %v", err)
	}
}

func TestNodeKeepsItsCertificateAndTakesNoOther(t *testing.T) {
	t.Parallel()
	_, dir := authority(t)
	files, err := link.IssueNode(dir, "one", []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(files.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := link.IssueNode(dir, "one", nil); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(files.Certificate); err != nil || string(after) != string(before) {
		t.Errorf("it has another one: %v", err)
	}
	if _, err := link.IssueNode(dir, "two", nil); errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), files.Certificate) {
		t.Errorf("as another node: %v", err)
	}
}
