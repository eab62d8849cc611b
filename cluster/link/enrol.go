package link

import (
	"cmp"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	mostEnrolling = 8                // under way at a time
	enrolWait     = 10 * time.Second // for one
	passWait      = 3 * time.Second  // for a member that it's passed on to
	missWait      = time.Second      // before a wrong token is answered
	mostPassed    = 16               // members that are asked for the authority's key
	mostTold      = 64               // members that a newcomer is told of
)

// Tokens spends the tokens of newcomers.
type Tokens interface {
	// SpendToken spends the token with that hash ([Token.SecretHash]) on a node. It counts
	// once for a node, however often it's asked for. It blocks until that's durable.
	//
	// Errors: permission_denied for one that isn't known, or has no use left; no_quorum
	// and others of the registry.
	SpendToken(ctx context.Context, hash [sha256.Size]byte, node string) error
}

// Members is the cluster, as far as enrolment needs it.
type Members interface {
	// Addresses says where the members are, by id, this one among them.
	Addresses() map[string]string
	// Dial gives the connection to another member.
	Dial(ctx context.Context, id string) (grpc.ClientConnInterface, error)
}

// EnrolConfig says who lets newcomers in. Node, Tokens and Members must be set.
type EnrolConfig struct {
	Node    string       // this one's id
	Dir     string       // its folder of certificates; empty: this one can't sign
	Tokens  Tokens       // the cluster's
	Members Members      // those who may be able to sign
	Logger  hclog.Logger // nil: silent
}

// Enrolment lets newcomers in, at a link's door for them.
type Enrolment struct {
	cfg      EnrolConfig
	link     *Link
	log      hclog.Logger
	throttle *throttle
	slots    chan struct{} // one token an enrolment under way
}

// NewEnrolment makes it; nobody is let in before [Enrolment.Run].
func NewEnrolment(l *Link, cfg EnrolConfig) *Enrolment {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return &Enrolment{cfg: cfg, link: l, log: cfg.Logger.Named("enrol"), throttle: newThrottle(), slots: make(chan struct{}, mostEnrolling)}
}

// Run answers newcomers, and keeps this node's certificate from expiring where the
// cluster has an authority's key. It returns when ctx has ended or the link has, and
// nothing of it is left.
func (e *Enrolment) Run(ctx context.Context) error {
	s := grpc.NewServer(
		grpc.Creds(Credentials()), grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(2*maxRequest), grpc.MaxConcurrentStreams(1), grpc.MaxHeaderListSize(8<<10),
		grpc.InitialWindowSize(64<<10), grpc.InitialConnWindowSize(64<<10), grpc.ConnectionTimeout(greetWait),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: joinLife / 2, MaxConnectionAgeGrace: enrolWait}),
	)
	snakepitv1.RegisterEnrolServer(s, newcomers{e: e})
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	renewing, done := context.WithCancel(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() { e.renew(renewing) })
	err := s.Serve(e.link.Joins())
	s.Stop()
	done()
	renewal.Wait()
	if ctx.Err() != nil || e.link.ended() {
		return nil
	}
	return err
}

// Register serves other members, over the connections of nodes: see
// [snakepitv1.EnrolServer]. Calls must come in under [Credentials].
func (e *Enrolment) Register(r grpc.ServiceRegistrar) {
	snakepitv1.RegisterEnrolServer(r, members{e: e})
}

// newcomers answers who isn't a member.
type newcomers struct {
	snakepitv1.UnimplementedEnrolServer

	e *Enrolment
}

// Enrol implements [snakepitv1.EnrolServer].
func (n newcomers) Enrol(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolWait)
	defer cancel()
	response, err := n.e.admit(ctx, r)
	if err != nil {
		n.e.log.Warn("a newcomer was refused", "node", names.Cut(r.GetNode()), "from", from(ctx), "error", err)
		return nil, errdefs.ToStatus(err)
	}
	n.e.log.Info("a newcomer has enrolled", "node", r.GetNode(), "from", from(ctx))
	return response, nil
}

// from is the place that a call comes from.
func from(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return place(p.Addr)
	}
	return ""
}

// admit bounds what a stranger can cause.
func (e *Enrolment) admit(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	if err := e.throttle.check(from(ctx)); err != nil {
		return nil, err
	}
	select {
	case e.slots <- struct{}{}:
	default:
		busy := errdefs.New(errdefs.RateLimited, "others are enrolling now")
		busy.RetryAfter = time.Second
		return nil, busy
	}
	response, err := e.enrol(ctx, r)
	<-e.slots
	if errdefs.ReasonOf(err) == errdefs.Unauthenticated {
		e.throttle.miss(from(ctx))
		pause(ctx, missWait)
	}
	return response, err
}

func (e *Enrolment) enrol(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	t, err := e.check(r)
	if err != nil {
		return nil, err
	}
	if !e.signs() && e.link.cfg.Identity != nil {
		return e.passOn(ctx, r)
	}
	return e.spend(ctx, r, t)
}

// check refuses what needs no registry to be refused.
func (e *Enrolment) check(r *snakepitv1.EnrolRequest) (Token, error) {
	if err := names.CheckID("node", r.GetNode()); err != nil {
		return Token{}, err
	}
	t, err := ParseToken(r.GetToken())
	if err != nil {
		return Token{}, errdefs.Wrap(errdefs.Unauthenticated, err, "the newcomer's token")
	}
	if t.sealed() != (e.link.cfg.Identity != nil) {
		return Token{}, errdefs.New(errdefs.WrongCluster, "this token is another cluster's")
	}
	if _, member := e.cfg.Members.Addresses()[r.GetNode()]; member {
		err := errdefs.New(errdefs.Exists, "node %q is a member already", names.Cut(r.GetNode()))
		err.Hint = "a host that has lost its certificates joins as a new node, in a new directory; remove the old one then"
		return Token{}, err
	}
	if t.sealed() {
		_, err = parseRequest(r.GetCertificateRequest())
	}
	return t, err
}

// spend takes the token, and gives what it's good for. Nothing is signed before, and
// no token is spent where nothing can be signed.
func (e *Enrolment) spend(ctx context.Context, r *snakepitv1.EnrolRequest, t Token) (*snakepitv1.EnrolResponse, error) {
	var a *Authority
	if e.link.cfg.Identity != nil {
		var err error
		if a, err = OpenAuthority(e.cfg.Dir); err != nil {
			return nil, err
		}
	}
	err := e.cfg.Tokens.SpendToken(ctx, t.SecretHash(), r.GetNode())
	if errdefs.ReasonOf(err) == errdefs.PermissionDenied {
		e := errdefs.New(errdefs.Unauthenticated, "this token isn't known, has been used, or is too old")
		e.Hint = tokenHint
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	if a == nil {
		return &snakepitv1.EnrolResponse{Members: e.told()}, nil
	}
	return e.grant(a, r)
}

// grant signs.
func (e *Enrolment) grant(a *Authority, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	authority, err := readFile(filepath.Join(e.cfg.Dir, authorityFile))
	if err != nil {
		return nil, err
	}
	certificate, err := a.Sign(r.GetCertificateRequest(), r.GetNode())
	if err != nil {
		return nil, err
	}
	return &snakepitv1.EnrolResponse{Certificate: certificate, Authority: authority, Members: e.told()}, nil
}

// again is a member's certificate, which no token is needed for.
func (e *Enrolment) again(r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	a, err := OpenAuthority(e.cfg.Dir)
	if err != nil {
		return nil, err
	}
	return e.grant(a, r)
}

// told is where a newcomer hears the members are.
func (e *Enrolment) told() []*snakepitv1.NodeAddress {
	var told []*snakepitv1.NodeAddress
	for id, address := range e.cfg.Members.Addresses() {
		told = append(told, &snakepitv1.NodeAddress{Id: id, Address: address})
	}
	slices.SortFunc(told, func(a, b *snakepitv1.NodeAddress) int {
		return cmp.Compare(a.GetId(), b.GetId())
	})
	return told[:min(len(told), mostTold)]
}

// signs reports whether the authority's key is here.
func (e *Enrolment) signs() bool {
	if e.cfg.Dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(e.cfg.Dir, authorityKeyFile))
	return err == nil
}
