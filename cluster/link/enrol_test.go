package link_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// town is a cluster's registry, as far as enrolment sees it: tokens, and who is
// where.
type town struct {
	mu     sync.Mutex
	tokens map[[32]byte]string // on whom each was spent
	nodes  map[string]string
}

func newTown() *town {
	return &town{tokens: map[[32]byte]string{}, nodes: map[string]string{}}
}

// token makes one that's good.
func (w *town) token(t link.Token) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens[t.SecretHash()] = ""
	return t.String()
}

func (w *town) spentOn(t link.Token) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens[t.SecretHash()]
}

// SpendToken implements [link.Tokens].
func (w *town) SpendToken(_ context.Context, hash [32]byte, node string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	on, known := w.tokens[hash]
	if !known || on != "" && on != node {
		return errdefs.New(errdefs.PermissionDenied, "the token isn't known, or has no use left")
	}
	w.tokens[hash] = node
	return nil
}

// seat is the town as one of its nodes sees it.
type seat struct {
	*town
	t    *testing.T
	link *link.Link
}

// Addresses implements [link.Members].
func (s seat) Addresses() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.nodes)
}

// Dial implements [link.Members].
func (s seat) Dial(_ context.Context, id string) (grpc.ClientConnInterface, error) {
	address := s.Addresses()[id]
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.link.DialNode(ctx, address, id) }))
	if err == nil {
		s.t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// member runs a node that lets newcomers in. dir is its folder of certificates;
// empty: it has none.
func (w *town) member(t *testing.T, id, dir string) *link.Link {
	t.Helper()
	var who *link.Identity
	if dir != "" {
		who = identity(t, link.NodeFiles(dir))
	}
	l := running(t, who)
	w.mu.Lock()
	w.nodes[id] = l.Addr()
	w.mu.Unlock()
	e := link.NewEnrolment(l, link.EnrolConfig{Node: id, Dir: dir, Tokens: w, Members: seat{w, t, l}})
	nodes := grpc.NewServer(grpc.Creds(link.Credentials()))
	e.Register(nodes)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var serving sync.WaitGroup
	serving.Go(func() { _ = nodes.Serve(l.Nodes()) })
	serving.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); nodes.Stop(); serving.Wait() })
	return l
}

// founded is a town of one node, which holds the authority's key.
func founded(t *testing.T) (*town, *link.Link, string) {
	t.Helper()
	_, dir := authority(t)
	if _, err := link.IssueNode(dir, "one", []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	w := newTown()
	return w, w.member(t, "one", dir), dir
}

// join bounds a joining.
func join(t *testing.T, addrs []string, token, dir, node string) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return link.Join(ctx, addrs, token, dir, node, "127.0.0.1", "db.example")
}

func TestNewcomerGetsACertificateForAToken(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	token, dir := one.NewToken(), filepath.Join(t.TempDir(), "tls")
	text := w.token(token)
	members, err := join(t, []string{one.Addr()}, text, dir, "two")
	if err != nil || !slices.Equal(members, []string{one.Addr()}) {
		t.Fatalf("it hears of %q, %v", members, err)
	}
	if on := w.spentOn(token); on != "two" {
		t.Errorf("the token was spent on %q", on)
	}
	for _, name := range []string{"ca.pem", "node.pem", "node-key.pem"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	two := running(t, identity(t, link.NodeFiles(dir)))
	to, err := two.DialNode(t.Context(), one.Addr(), "one")
	_ = closed(t, to, err)
	back, err := one.DialNode(t.Context(), two.Addr(), "two")
	from := accepted(t, two.Nodes())
	says(t, closed(t, back, err), from)
	if who := link.WhoIs(from); who != (link.Who{Kind: link.Node, Name: "one"}) {
		t.Errorf("the other end is %v", who)
	}
}

func TestNodeWithACertificateAsksNobody(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	dir := t.TempDir()
	text := w.token(one.NewToken())
	if _, err := join(t, []string{one.Addr()}, text, dir, "two"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "node.pem"))
	if err != nil {
		t.Fatal(err)
	}
	nowhere := []string{"127.0.0.1:1"}
	members, err := join(t, nowhere, text, dir, "two")
	if err != nil || !slices.Equal(members, nowhere) {
		t.Errorf("it hears of %q, %v", members, err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "node.pem"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the certificate is another: %v", err)
	}
	if _, err := join(t, nowhere, text, dir, "three"); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("as another node: %v", err)
	}
	others, _ := authority(t)
	if _, err := join(t, nowhere, link.NewToken(others.Hash()).String(), dir, "two"); errdefs.ReasonOf(err) != errdefs.WrongCluster {
		t.Errorf("with another cluster's token: %v", err)
	}
}

func TestJoiningThatWasCutShortIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	dir := t.TempDir()
	text := w.token(one.NewToken())
	if _, err := join(t, []string{one.Addr()}, text, dir, "two"); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "node-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "node.pem")); err != nil { // it's written last
		t.Fatal(err)
	}
	if _, err := join(t, []string{one.Addr()}, text, dir, "two"); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(dir, "node-key.pem"))
	if err != nil || string(again) != string(key) {
		t.Errorf("the key is another: %v", err)
	}
	_ = identity(t, link.NodeFiles(dir))
}

func TestTokenIsGoodOnce(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	text := w.token(one.NewToken())
	if _, err := join(t, []string{one.Addr()}, text, t.TempDir(), "two"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := join(t, []string{one.Addr()}, text, dir, "three"); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("a second time: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node.pem")); err == nil {
		t.Error("it has a certificate")
	}
}

func TestNobodyBecomesAMemberByItsName(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	token := one.NewToken()
	text := w.token(token)
	if _, err := join(t, []string{one.Addr()}, text, t.TempDir(), "one"); errdefs.ReasonOf(err) != errdefs.Exists {
		t.Errorf("it says %v", err)
	}
	if on := w.spentOn(token); on != "" {
		t.Errorf("the token was spent on %q", on)
	}
}

func TestNewcomerOfAnotherClusterIsRefusedByBothSides(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	plainTown := newTown()
	plain := plainTown.member(t, "p", "")
	others, _ := authority(t)
	theirs := t.TempDir()
	if _, err := others.IssueNode(theirs, "two", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(theirs, "node.pem")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at    *link.Link
		token string
		dir   string
		want  errdefs.Reason
	}{
		"a token of another authority":          {one, link.NewToken(others.Hash()).String(), t.TempDir(), errdefs.Unauthenticated},
		"a token that isn't known":              {one, one.NewToken().String(), t.TempDir(), errdefs.Unauthenticated},
		"no token":                              {one, "", t.TempDir(), errdefs.InvalidArguments},
		"a folder of another authority":         {one, w.token(one.NewToken()), theirs, errdefs.WrongCluster},
		"a token for TLS, without":              {one, w.token(one.NewToken()), "", errdefs.WrongCluster},
		"a token for plain text, with TLS":      {plain, plainTown.token(plain.NewToken()), t.TempDir(), errdefs.WrongCluster},
		"a token for TLS, where there's none":   {plain, link.NewToken(others.Hash()).String(), t.TempDir(), errdefs.WrongCluster},
		"a token of another plain text cluster": {plain, plain.NewToken().String(), "", errdefs.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := join(t, []string{c.at.Addr()}, c.token, c.dir, "two"); errdefs.ReasonOf(err) != c.want {
				t.Errorf("it says %v, want %s", err, c.want)
			}
		})
	}
}

func TestPlainTextNeedsTheSecretAlone(t *testing.T) {
	t.Parallel()
	w := newTown()
	one := w.member(t, "one", "")
	token := one.NewToken()
	text := w.token(token)
	for range 2 { // it may be started again before it's a member
		members, err := join(t, []string{"127.0.0.1:1", one.Addr()}, text, "", "two")
		if err != nil || !slices.Equal(members, []string{one.Addr()}) {
			t.Fatalf("it hears of %q, %v", members, err)
		}
	}
	if on := w.spentOn(token); on != "two" {
		t.Errorf("the token was spent on %q", on)
	}
}

// joined lets a node in and runs it.
func (w *town) joined(t *testing.T, at *link.Link, id string) *link.Link {
	t.Helper()
	dir := t.TempDir()
	if _, err := join(t, []string{at.Addr()}, w.token(at.NewToken()), dir, id); err != nil {
		t.Fatal(err)
	}
	return w.member(t, id, dir)
}

func TestMemberWithoutTheAuthoritysKeyPassesTheNewcomerOn(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	two := w.joined(t, one, "two")
	three := w.joined(t, two, "three") // whose token two made, too
	to, err := three.Raft(anyNode).Dial(raft.ServerAddress(one.Addr()), 5*time.Second)
	says(t, closed(t, to, err), accepted(t, one.Raft(anyNode)))
	if _, err := join(t, []string{two.Addr()}, two.NewToken().String(), t.TempDir(), "four"); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("a token that isn't known: %v", err)
	}
}

func TestClusterWhoseAuthorityIsAwaySaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w, one, dir := founded(t)
	two := w.joined(t, one, "two")
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	token := two.NewToken()
	text := w.token(token)
	for name, at := range map[string]*link.Link{"where it was": one, "elsewhere": two} {
		_, err := join(t, []string{at.Addr()}, text, t.TempDir(), "three")
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), "ca-key.pem") || !strings.Contains(err.Error(), "tls_dir") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if on := w.spentOn(token); on != "" {
		t.Errorf("the token was spent on %q", on)
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	t.Parallel()
	_, one, _ := founded(t)
	began := time.Now()
	var err error
	for n := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err = link.Join(ctx, []string{one.Addr()}, one.NewToken().String(), t.TempDir(), "two")
		cancel()
		if errdefs.ReasonOf(err) == errdefs.RateLimited {
			if took := time.Since(began); n < 5 || took < 5*time.Second {
				t.Errorf("the first %d took %s", n, took)
			}
			return
		}
	}
	t.Errorf("the last one says %v", err)
}

func TestMemberRenewsItsCertificateAndNobodyElses(t *testing.T) {
	t.Parallel()
	w, one, _ := founded(t)
	two := w.joined(t, one, "two")
	request, err := link.Request(newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := seat{w, t, two}.Dial(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]errdefs.Reason{"two": "", "one": errdefs.PermissionDenied, "three": errdefs.PermissionDenied} {
		response, err := snakepitv1.NewEnrolClient(conn).Enrol(t.Context(), &snakepitv1.EnrolRequest{Node: node, CertificateRequest: request})
		if got := errdefs.ReasonOf(errdefs.FromStatus(err)); got != want {
			t.Errorf("for %s it says %v", node, err)
		}
		if err == nil && len(response.GetCertificate()) == 0 {
			t.Error("there's no certificate")
		}
	}
}

func TestStrangerCannotAskWithoutAToken(t *testing.T) {
	t.Parallel()
	_, one, _ := founded(t)
	request, err := link.Request(newKey(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*snakepitv1.EnrolRequest{
		"as a member":      {Node: "one", CertificateRequest: request},
		"as a newcomer":    {Node: "two", CertificateRequest: request},
		"a short secret":   {Node: "two", Token: "secret", CertificateRequest: request},
		"a message of MiB": {Node: "two", Token: strings.Repeat("x", 1<<20)},
	} {
		raw, err := link.DialJoin(t.Context(), one.Addr(), one.NewToken())
		raw = closed(t, raw, err)
		conn, err := grpc.NewClient("passthrough:///one", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return raw, nil }))
		if err != nil {
			t.Fatal(err)
		}
		_, err = snakepitv1.NewEnrolClient(conn).Enrol(t.Context(), r)
		if got := errdefs.ReasonOf(errdefs.FromStatus(err)); got != errdefs.Unauthenticated && got != errdefs.PayloadTooLarge {
			t.Errorf("%s: %v", name, err)
		}
		_ = conn.Close()
	}
}

func TestJoiningInsistsUntilAMemberIsThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := link.Join(ctx, []string{"127.0.0.1:1"}, link.NewToken([sha256.Size]byte{}).String(), "", "two")
	if errdefs.ReasonOf(err) != errdefs.HostUnreachable || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("it says %v", err)
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("it gave up at once")
	}
}
