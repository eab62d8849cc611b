package link

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	attemptWait = 15 * time.Second       // for one member's answer
	againWait   = 500 * time.Millisecond // before all of them are asked again
)

// Join lets a node in by a token, before its link listens: a member at one of addrs
// spends the token on it and signs its certificate, which is written into dir with
// its key and the authority's. Without dir the cluster stays on loopback, and the
// token is all there is. It returns where the members are.
//
// A node whose certificate is in dir asks nobody, and gets addrs back. It blocks until
// a member has answered, and asks all of them again while none can; ctx bounds that.
// hosts are the names and addresses by which clients reach the node.
//
// Errors: unauthenticated for a token that is wrong, old or spent, and for a member
// that isn't of the token's cluster; wrong_cluster for a folder that is another
// cluster's, and for a token that doesn't fit; exists for a node that is a member;
// invalid_arguments, invalid_config; what the last member said when ctx ended.
func Join(ctx context.Context, addrs []string, token, dir, node string, hosts ...string) ([]string, error) {
	t, err := ParseToken(token)
	if err != nil {
		return nil, err
	}
	if err := names.CheckID("node", node); err != nil {
		return nil, err
	}
	n := newcomer{token: t, node: node, files: NodeFiles(dir)}
	if dir == "" {
		return n.plainly(ctx, addrs)
	}
	return n.enrol(ctx, addrs, hosts)
}

// newcomer is a node that isn't a member yet.
type newcomer struct {
	token Token
	node  string
	files Files
}

func (n newcomer) plainly(ctx context.Context, addrs []string) ([]string, error) {
	if n.token.sealed() {
		e := errdefs.New(errdefs.WrongCluster, "this token's cluster has certificates, and this node has no folder for them")
		e.Hint = "set tls_dir"
		return nil, e
	}
	response, err := n.insist(ctx, addrs, nil)
	return addresses(response), err
}

func (n newcomer) enrol(ctx context.Context, addrs, hosts []string) ([]string, error) {
	if !n.token.sealed() {
		e := errdefs.New(errdefs.WrongCluster, "this token's cluster has no certificates and stays on its machine's loopback, and this node has certificates")
		e.Hint = "leave tls_dir away to join it"
		return nil, e
	}
	if exists(n.files.Certificate) {
		return addrs, n.checkThere()
	}
	key, err := n.files.key()
	if err != nil {
		return nil, err
	}
	request, err := Request(key, hosts)
	if err != nil {
		return nil, err
	}
	response, err := n.insist(ctx, addrs, request)
	if err != nil {
		return nil, err
	}
	return addresses(response), n.keep(response, key)
}

// sealed says that the token's cluster has an authority.
func (t Token) sealed() bool { return t.Authority != [sha256.Size]byte{} }

// checkThere refuses a folder that doesn't fit node and token.
func (n newcomer) checkThere() error {
	if err := n.files.belongTo(n.node); err != nil {
		return err
	}
	authority, err := readFile(n.files.Authority)
	if err != nil {
		return err
	}
	return n.mustKnow(authority, n.files.Authority+" is of another cluster than the token")
}

// mustKnow refuses an authority that isn't the token's.
func (n newcomer) mustKnow(authority []byte, otherwise string) error {
	for block, rest := pem.Decode(authority); block != nil; block, rest = pem.Decode(rest) {
		if sha256.Sum256(block.Bytes) == n.token.Authority {
			return nil
		}
	}
	e := errdefs.New(errdefs.WrongCluster, "%s", otherwise)
	e.Hint = "each cluster has an authority of its own, and a node a folder for one of them"
	return e
}

// keep writes what was granted: the certificate last, since it's what says that
// nothing is missing.
func (n newcomer) keep(r *snakepitv1.EnrolResponse, key *ecdsa.PrivateKey) error {
	if err := checkAnswer(r, key, n.node); err != nil {
		return err
	}
	if err := n.mustKnow(r.GetAuthority(), "the member's authority isn't the token's"); err != nil {
		return err
	}
	if err := n.files.trust(r.GetAuthority()); err != nil {
		return err
	}
	return replace(n.files.Certificate, r.GetCertificate())
}

// checkAnswer sees to it that a certificate is for this key and this node, and of
// the authority that came with it.
func checkAnswer(r *snakepitv1.EnrolResponse, key *ecdsa.PrivateKey, node string) error {
	block, _ := pem.Decode(r.GetCertificate())
	roots := x509.NewCertPool()
	if block == nil || !roots.AppendCertsFromPEM(r.GetAuthority()) {
		return errdefs.New(errdefs.Protocol, "the member sent no certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return errdefs.Wrap(errdefs.Protocol, err, "the certificate that the member sent")
	}
	if !key.PublicKey.Equal(c.PublicKey) || whoOf(c) != (Who{Kind: Node, Name: node}) {
		return errdefs.New(errdefs.Protocol, "the member sent a certificate that isn't for this node")
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return errdefs.Wrap(errdefs.Protocol, err, "the certificate that the member sent")
	}
	return nil
}

func addresses(r *snakepitv1.EnrolResponse) []string {
	var all []string
	for _, m := range r.GetMembers()[:min(len(r.GetMembers()), mostTold)] {
		all = append(all, m.GetAddress())
	}
	return all
}

// insist asks the members until one has decided.
func (n newcomer) insist(ctx context.Context, addrs []string, request []byte) (*snakepitv1.EnrolResponse, error) {
	err := error(errdefs.New(errdefs.InvalidConfig, "no address of a member is given"))
	for len(addrs) > 0 {
		for _, addr := range addrs {
			var response *snakepitv1.EnrolResponse
			if response, err = n.ask(ctx, addr, request); err == nil || !passing(err) {
				return response, err
			}
		}
		if !pause(ctx, max(againWait, errdefs.Of(err).RetryAfter)) {
			break
		}
	}
	return nil, err
}

func (n newcomer) ask(ctx context.Context, addr string, request []byte) (*snakepitv1.EnrolResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptWait)
	defer cancel()
	conn, err := DialJoin(ctx, addr, n.token)
	if err != nil {
		return nil, n.whyNot(addr, err)
	}
	defer func() { _ = conn.Close() }() // it has answered, or not
	over, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // DialJoin has seen to it
		grpc.WithContextDialer(once(conn)),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, err
	}
	defer func() { _ = over.Close() }()
	response, err := snakepitv1.NewEnrolClient(over).Enrol(ctx, &snakepitv1.EnrolRequest{
		Node: n.node, Token: n.token.String(), CertificateRequest: request,
	})
	if err = errdefs.FromStatus(err); errdefs.ReasonOf(err) == errdefs.HostUnreachable {
		err = n.whyNot(addr, err)
	}
	return response, err
}

// once dials what is connected already.
func once(conn net.Conn) func(context.Context, string) (net.Conn, error) {
	var mu sync.Mutex
	return func(context.Context, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if conn == nil {
			return nil, net.ErrClosed
		}
		c := conn
		conn = nil
		return c, nil
	}
}

// whyNot gives what a member that can't be talked to came to its reason.
func (n newcomer) whyNot(addr string, err error) error {
	var op *net.OpError
	switch r := errdefs.ReasonOf(err); {
	case r == errdefs.Unauthenticated || r == errdefs.InvalidConfig:
		return err
	case errors.As(err, &op) && op.Op == remoteError:
		e := errdefs.Wrap(errdefs.WrongCluster, err, "the member at %s has no certificates, and this token's cluster has", addr)
		e.Hint = tokenHint
		return e
	}
	e := errdefs.Wrap(errdefs.HostUnreachable, err, "no member answers at %s", addr)
	if !n.token.sealed() {
		e.Hint = "if its cluster has certificates, this isn't its token; " + tokenHint
	}
	return e
}

const tokenHint = "`snakepit cluster token`, on a member, prints one" //nolint:gosec // it has none
