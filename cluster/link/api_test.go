package link_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// mirror answers who called it, as an error's text.
type mirror struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (mirror) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	who := link.Caller(ctx)
	return nil, errdefs.ToStatus(errdefs.New(errdefs.PermissionDenied, "a %s called %q", who.Kind, who.Name))
}

// mirrored serves mirror on the API's door until the test ends.
func mirrored(t *testing.T, l *link.Link) {
	t.Helper()
	s := grpc.NewServer(grpc.Creds(link.Credentials()))
	grpc_health_v1.RegisterHealthServer(s, mirror{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l.API()) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
}

// calls asks the mirror, and returns what it said.
func calls(t *testing.T, addr string, creds credentials.TransportCredentials) string {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return status.Convert(err).Message()
}

// by is a client's side of TLS with some files, which trusts whatever it reaches:
// what the other side makes of it is what's tested.
func by(t *testing.T, files link.Files, protocol string) *tls.Config {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}, InsecureSkipVerify: true}
}

// signedClient writes the files of a client.
func signedClient(t *testing.T, a *link.Authority, name string) link.Files {
	t.Helper()
	files, err := a.IssueClient(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestClientsAreServedOnTheSamePort(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	o := newOutside(t)
	plain, ours, theirs := running(t, nil), running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, o.names(t, link.NodeURI("one"))))
	for _, l := range []*link.Link{plain, ours, theirs} {
		mirrored(t, l)
	}
	onlyClient := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for name, c := range map[string]struct {
		at    *link.Link
		creds credentials.TransportCredentials
		want  string
	}{
		"in plain text":                {plain, insecure.NewCredentials(), `a stranger called ""`},
		"a client":                     {ours, credentials.NewTLS(by(t, signedClient(t, a, "cli"), "h2")), `a client called "cli"`},
		"a node":                       {ours, credentials.NewTLS(by(t, signed(t, a, "two"), "h2")), `a node called "two"`},
		"an outside client":            {theirs, credentials.NewTLS(by(t, o.issue(t, onlyClient), "h2")), `a client called "somebody"`},
		"an outside client that names": {theirs, credentials.NewTLS(by(t, o.names(t, link.ClientURI("cli")), "h2")), `a client called "cli"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := calls(t, c.at.Addr(), c.creds); !strings.HasSuffix(got, c.want) {
				t.Errorf("it says %s, want %s", got, c.want)
			}
		})
	}
}

func TestDoorsOfNodesAreClosedToClients(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	o := newOutside(t)
	ours, theirs := running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, o.names(t, link.NodeURI("one"))))
	for name, c := range map[string]struct {
		at    *link.Link
		files link.Files
	}{
		"a client":                {ours, signedClient(t, a, "cli")},
		"an outside client":       {theirs, o.issue(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth})},
		"a client good for all":   {theirs, o.names(t, link.ClientURI("cli"))},
		"a client that is a node": {theirs, o.names(t, link.NodeURI("two"), link.ClientURI("cli"))},
		"two nodes":               {theirs, o.names(t, link.NodeURI("two"), link.NodeURI("three"))},
		"a name of neither kind":  {theirs, o.names(t, &url.URL{Scheme: "snakepit", Opaque: "king/arthur"})},
		"a node without a name":   {theirs, o.names(t, link.NodeURI(""))},
		"another authority's":     {ours, o.names(t, link.NodeURI("two"))},
	} {
		for _, door := range []string{"snakepit-raft/1", "snakepit-node/1"} {
			t.Run(name+" at "+door, func(t *testing.T) {
				t.Parallel()
				turnedAway(t, c.at, by(t, c.files, door))
			})
		}
	}
}

func TestDoorOfClientsIsClosedToStrangers(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	o := newOutside(t)
	server := running(t, identity(t, signed(t, a, "one")))
	nobody := by(t, signed(t, a, "two"), "h2")
	nobody.Certificates = nil
	both := by(t, signed(t, a, "two"), "snakepit-join/1")
	both.Certificates, both.NextProtos = nil, append(both.NextProtos, "h2")
	expired := &x509.Certificate{URIs: []*url.URL{link.ClientURI("cli")}, NotAfter: time.Now().Add(-time.Minute)}
	for name, cfg := range map[string]*tls.Config{
		"no certificate":             nobody,
		"no certificate, and a join": both,
		"another authority's":        by(t, o.names(t, link.ClientURI("cli")), "h2"),
		"an old one":                 by(t, o.write(t, expired), "h2"),
		"HTTP/1.1":                   by(t, signedClient(t, a, "cli"), "http/1.1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turnedAway(t, server, cfg)
		})
	}
}

// turnedAway sees to it that nobody comes in: a handshake or the read after it fails.
func turnedAway(t *testing.T, l *link.Link, cfg *tls.Config) {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr())
	raw = closed(t, raw, err)
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn := tls.Client(raw, cfg)
	if conn.HandshakeContext(t.Context()) != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was let in: %v", err)
	}
}

func TestNodeThatIsTurnedAwayIsToldWhy(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	server := running(t, identity(t, o.names(t, link.NodeURI("one"))))
	stranger := newOutside(t).names(t, link.NodeURI("two"))
	stranger.Authority = bundle(t, stranger.Authority, o.names(t, link.NodeURI("one")).Authority)
	client := running(t, identity(t, stranger))
	c, err := client.DialNode(t.Context(), server.Addr(), "one")
	c = closed(t, c, err)
	if _, err := c.Read(make([]byte, 1)); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("it says %v", err)
	}
}

// bundle makes one file of several.
func bundle(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	path := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServerWithAClientsCertificateIsNoNode(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	files := o.names(t, link.ClientURI("cli"))
	listener := greeter(t, by(t, files, "snakepit-node/1"))
	client := running(t, identity(t, o.names(t, link.NodeURI("one"))))
	if _, err := client.DialNode(t.Context(), listener, ""); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("it says %v", err)
	}
}

// greeter shakes hands with one caller, and returns where it is.
func greeter(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if c, err := listener.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1)) // the handshake, and its end
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

// handshake is what a client says of a server.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	raw, err := net.Dial("tcp", greeter(t, server))
	raw = closed(t, raw, err)
	return tls.Client(raw, client).HandshakeContext(t.Context())
}

func TestLinkOfAnotherNodeOrAClientIsNotOpened(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	for name, files := range map[string]link.Files{"another node's": signed(t, a, "two"), "a client's": signedClient(t, a, "one")} {
		_, err := link.Listen(t.Context(), link.Config{Addr: "127.0.0.1:0", Node: "one", Identity: identity(t, files)})
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), files.Certificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNodeThatWasRemovedMayOnlyCallNodes(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	l, err := link.Listen(t.Context(), link.Config{
		Addr: "127.0.0.1:0", Identity: identity(t, signed(t, a, "one")), Removed: func(node string) bool { return node == "two" },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	gones := signed(t, a, "two")
	removed, member := running(t, identity(t, gones)), running(t, identity(t, signed(t, a, "three")))
	gone, err := removed.Raft(anyNode).Dial(raft.ServerAddress(l.Addr()), 5*time.Second)
	gone = closed(t, gone, err)
	if _, err := gone.Read(make([]byte, 1)); err == nil {
		t.Error("raft hears it")
	}
	turnedAway(t, l, by(t, gones, "h2"))
	asks, err := removed.DialNode(t.Context(), l.Addr(), "one")
	says(t, closed(t, asks, err), accepted(t, l.Nodes())) // it may be told that it's removed
	other, err := member.Raft(anyNode).Dial(raft.ServerAddress(l.Addr()), 5*time.Second)
	says(t, closed(t, other, err), accepted(t, l.Raft(anyNode)))
}

func TestPrefaceIsGivenBack(t *testing.T) {
	t.Parallel()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	l := running(t, nil)
	c, err := net.Dial("tcp", l.Addr())
	c = closed(t, c, err)
	for _, part := range []string{preface[:1], preface[1:10], preface[10:] + "more"} {
		if _, err := c.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(preface)+4)
	if _, err := io.ReadFull(byteByByte{accepted(t, l.API())}, got); err != nil || string(got) != preface+"more" {
		t.Errorf("%q arrived, %v", got, err)
	}
}

// byteByByte reads a byte at a time.
type byteByByte struct{ io.Reader }

func (r byteByByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }
