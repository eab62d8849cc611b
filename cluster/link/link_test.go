package link_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// running is a link that runs until the test ends.
func running(t *testing.T, identity *link.Identity) *link.Link {
	t.Helper()
	l, err := link.Listen(t.Context(), link.Config{Addr: "127.0.0.1:0", Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	return l
}

// run has a link run until the test ends.
func run(t *testing.T, l *link.Link) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// authority makes one in a folder of its own.
func authority(t *testing.T) (*link.Authority, string) {
	t.Helper()
	dir := t.TempDir()
	a, err := link.NewAuthority(dir, "a test's cluster")
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// signed writes the files of a node's identity.
func signed(t *testing.T, a *link.Authority, node string) link.Files {
	t.Helper()
	files, err := a.IssueNode(t.TempDir(), node, nil)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func identity(t *testing.T, files link.Files) *link.Identity {
	t.Helper()
	id, err := link.LoadIdentity(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// says sends a word from one end and reads it at the other.
func says(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := from.Write([]byte("word")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "word" {
		t.Fatalf("%q arrived, %v", got, err)
	}
}

// accepted takes the next connection of a listener, and closes it with the test.
func accepted(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func closed(t *testing.T, c net.Conn, err error) net.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func anyNode(raft.ServerAddress) string { return "" }

func TestProtocolsOfNodesShareAPort(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	for name, ids := range map[string][2]*link.Identity{
		"in plain text": {nil, nil},
		"under TLS":     {identity(t, signed(t, a, "one")), identity(t, signed(t, a, "two"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := running(t, ids[0]), running(t, ids[1])
			token := link.NewToken([sha256.Size]byte{})
			if ids[0] != nil {
				token = link.NewToken(a.Hash())
			}
			toRaft, err := client.Raft(func(raft.ServerAddress) string { return "one" }).Dial(raft.ServerAddress(server.Addr()), 5*time.Second)
			says(t, closed(t, toRaft, err), accepted(t, server.Raft(anyNode)))
			toNode, err := client.DialNode(t.Context(), server.Addr(), "one")
			at := accepted(t, server.Nodes())
			says(t, closed(t, toNode, err), at)
			if want := map[bool]string{true: "two"}[ids[0] != nil]; link.Peer(at) != want {
				t.Errorf("the other end is %q, want %q", link.Peer(at), want)
			}
			toJoin, err := link.DialJoin(t.Context(), server.Addr(), token)
			says(t, closed(t, toJoin, err), accepted(t, server.Joins()))
		})
	}
}

func TestNodeThatIsAnotherIsRefused(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	server, client := running(t, identity(t, signed(t, a, "one"))), running(t, identity(t, signed(t, a, "two")))
	if _, err := client.DialNode(t.Context(), server.Addr(), "three"); errdefs.ReasonOf(err) != errdefs.Unauthenticated || !strings.Contains(err.Error(), "three") {
		t.Errorf("it says %v", err)
	}
}

func TestNodeOfAnotherAuthorityIsRefusedByBothSides(t *testing.T) {
	t.Parallel()
	ours, _ := authority(t)
	theirs, _ := authority(t)
	server, client := running(t, identity(t, signed(t, ours, "one"))), running(t, identity(t, signed(t, theirs, "one")))
	if _, err := client.DialNode(t.Context(), server.Addr(), "one"); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("the client says %v", err)
	}
	if _, err := link.DialJoin(t.Context(), server.Addr(), link.NewToken(theirs.Hash())); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("the newcomer says %v", err)
	}
}

func TestCertificateWithoutANodeMustBeForTheHostDialled(t *testing.T) {
	t.Parallel()
	a := newOutside(t)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	client := running(t, identity(t, a.issue(t, both, "127.0.0.2")))
	for host, ok := range map[string]bool{"127.0.0.1": true, "db.example": false} {
		server := running(t, identity(t, a.issue(t, both, host)))
		c, err := client.DialNode(t.Context(), server.Addr(), "one")
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != ok {
			t.Errorf("a certificate for %s: %v", host, err)
		}
	}
}

func TestWhoHasNoCertificateMayOnlyJoin(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	server := running(t, identity(t, signed(t, a, "one")))
	plain := running(t, nil)
	c, err := plain.DialNode(t.Context(), server.Addr(), "one")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the other side answers")
	}
}

func TestPlainTextStaysOnLoopback(t *testing.T) {
	t.Parallel()
	for _, cfg := range []link.Config{{Addr: ":0"}, {Addr: "0.0.0.0:0"}, {Addr: "192.0.2.1:7000"}, {Addr: "127.0.0.1:0", Advertise: "192.0.2.1:7000"}, {Addr: "nonsense"}} {
		if _, err := link.Listen(t.Context(), cfg); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s, advertised as %q: %v", cfg.Addr, cfg.Advertise, err)
		}
	}
	l := running(t, nil)
	if _, err := l.DialNode(t.Context(), "192.0.2.1:7000", "one"); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("dialled elsewhere: %v", err)
	}
	if _, err := link.DialJoin(t.Context(), "192.0.2.1:7000", link.NewToken([sha256.Size]byte{})); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("joined elsewhere: %v", err)
	}
}

func TestNewFilesAreUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	files := signed(t, a, "one")
	server, client := running(t, identity(t, files)), running(t, identity(t, signed(t, a, "two")))
	replace(t, signed(t, a, "renamed"), files)
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := client.DialNode(t.Context(), server.Addr(), "renamed")
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestFilesThatCannotBeReadLeaveTheIdentityAsItWas(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	files := signed(t, a, "one")
	refused := make(chan error, 1)
	id, err := link.LoadIdentity(files, func(err error) {
		select {
		case refused <- err:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	server, client := running(t, id), running(t, identity(t, signed(t, a, "two")))
	if err := os.WriteFile(files.Certificate, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := client.DialNode(t.Context(), server.Addr(), "one")
		closed(t, c, err)
		select {
		case err := <-refused:
			if errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), files.Certificate) {
				t.Errorf("it's told %v", err)
			}
			return
		default:
		}
	}
}

// replace puts new files in place of old ones, as an operator would.
func replace(t *testing.T, from, to link.Files) {
	t.Helper()
	for _, pair := range [][2]string{{from.Key, to.Key}, {from.Certificate, to.Certificate}, {from.Authority, to.Authority}} {
		if err := os.Rename(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEndClosesEveryConnection(t *testing.T) {
	t.Parallel()
	l, err := link.Listen(t.Context(), link.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var run sync.WaitGroup
	run.Go(func() { _ = l.Run(ctx) })
	client := running(t, nil)
	conn, err := client.DialNode(t.Context(), l.Addr(), "")
	conn = closed(t, conn, err)
	at := accepted(t, l.Nodes())
	silent, err := net.Dial("tcp", l.Addr())
	silent = closed(t, silent, err)
	cancel()
	run.Wait()
	for _, c := range []net.Conn{conn, at, silent} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlived the link")
		}
	}
	if _, err := l.Nodes().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept says %v", err)
	}
	if _, err := l.DialNode(t.Context(), client.Addr(), ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial says %v", err)
	}
}

func TestClosedDoorEndsItsAcceptAndLeavesTheOthers(t *testing.T) {
	t.Parallel()
	server, client := running(t, nil), running(t, nil)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := server.Nodes().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept says %v", err)
		}
	})
	for range 2 {
		if err := server.Nodes().Close(); err != nil {
			t.Error(err)
		}
	}
	waiting.Wait()
	c, err := client.DialNode(t.Context(), server.Addr(), "")
	c = closed(t, c, err)
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a closed door lets somebody in")
	}
	other, err := client.Raft(anyNode).Dial(raft.ServerAddress(server.Addr()), 5*time.Second)
	says(t, closed(t, other, err), accepted(t, server.Raft(anyNode)))
}

func TestWhatSpeaksNothingKnownIsClosed(t *testing.T) {
	t.Parallel()
	l := running(t, nil)
	c, err := net.Dial("tcp", l.Addr())
	c = closed(t, c, err)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it's answered")
	}
}

func TestConnectionsThatNobodyTakesAreBounded(t *testing.T) {
	t.Parallel()
	const room, more = 64, 16
	server, client := running(t, nil), running(t, nil)
	refused := make(chan struct{}, room+more)
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait) // after the connections are closed
	for range room + more {
		c, err := client.DialNode(t.Context(), server.Addr(), "")
		c = closed(t, c, err)
		readers.Go(func() {
			_, _ = c.Read(make([]byte, 1))
			refused <- struct{}{}
		})
	}
	for range more {
		<-refused
	}
	for range room {
		accepted(t, server.Nodes())
	}
}

func TestAuthorityIsNeverWrittenOver(t *testing.T) {
	t.Parallel()
	a, dir := authority(t)
	if _, err := link.NewAuthority(dir, "another"); errdefs.ReasonOf(err) != errdefs.Exists {
		t.Errorf("a second one: %v", err)
	}
	again, err := link.OpenAuthority(dir)
	if err != nil || again.Hash() != a.Hash() {
		t.Errorf("read again: %v", err)
	}
	for _, name := range []string{"ca-key.pem", "ca.pem"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

func TestKeyOfAnotherAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	_, ours := authority(t)
	_, theirs := authority(t)
	if err := os.Rename(filepath.Join(theirs, "ca-key.pem"), filepath.Join(ours, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := link.OpenAuthority(ours); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("it says %v", err)
	}
}

func TestBadRequestsAreNotSigned(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	request, err := link.Request(newKey(t), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	request[len(request)-1] ^= 1
	many := make([]string, 33)
	for i := range many {
		many[i] = "host.example"
	}
	greedy, err := link.Request(newKey(t), many)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	heavy, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, slow)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string][]byte{
		"nothing": nil, "a false signature": request, "33 hosts": greedy, "a key of RSA": heavy, "9 KiB": make([]byte, 9<<10),
	} {
		if _, err := a.Sign(r, "one"); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := link.Request(newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", strings.Repeat("x", 300), "\xff"} {
		if _, err := a.Sign(good, id); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("node %q: %v", id, err)
		}
		if _, err := a.SignClient(good, id); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("client %q: %v", id, err)
		}
	}
}

func TestFilesOfTwoAuthoritiesAreNoIdentity(t *testing.T) {
	t.Parallel()
	ours, _ := authority(t)
	theirs, _ := authority(t)
	files, others := signed(t, ours, "one"), signed(t, theirs, "one")
	for name, f := range map[string]link.Files{
		"another authority": {files.Certificate, files.Key, others.Authority},
		"another key":       {files.Certificate, others.Key, files.Authority},
		"no certificate":    {files.Certificate, files.Key, files.Key},
		"no file":           {files.Certificate, files.Key, files.Key + ".gone"},
	} {
		if _, err := link.LoadIdentity(f, nil); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenSurvivesItsText(t *testing.T) {
	t.Parallel()
	a, _ := authority(t)
	token := link.NewToken(a.Hash())
	again, err := link.ParseToken(" " + token.String() + "\n")
	if err != nil || again != token {
		t.Errorf("%s became %s, %v", token, again, err)
	}
	if other := link.NewToken(a.Hash()); other.SecretHash() == token.SecretHash() {
		t.Error("two tokens have one secret")
	}
	for _, bad := range []string{"", "snakepit1-", token.String()[1:], token.String() + "x", strings.ToUpper(token.String())} {
		if _, err := link.ParseToken(bad); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(link.NewToken([sha256.Size]byte{1}).String())
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := link.ParseToken(text); err == nil && token.String() != strings.TrimSpace(text) {
			if again, err := link.ParseToken(token.String()); err != nil || again != token {
				t.Fatalf("%q is %s, which isn't itself", text, token)
			}
		}
	})
}
