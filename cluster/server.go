package cluster

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// maxMessage is the size of the largest message between nodes, in bytes: the
// outcomes of an entry may be larger than the entry.
const maxMessage = 8 << 20

// server answers other nodes.
type server struct {
	snakepitv1.UnimplementedNodeServer

	m *mesh
}

func newServer(m *mesh) *grpc.Server {
	s := grpc.NewServer(
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.ChainUnaryInterceptor(withReasons, m.strangers),
		grpc.Creds(m.n.cfg.Transport.Credentials), // none, if nil
	)
	snakepitv1.RegisterNodeServer(s, &server{m: m})
	if more := m.n.cfg.Transport.Services; more != nil {
		more(s)
	}
	return s
}

// withReasons lets errors cross the wire as they are, those of further services too,
// which may be statuses already.
func withReasons(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	response, err := next(ctx, request)
	if err != nil {
		return nil, errdefs.ToStatus(errdefs.FromStatus(err))
	}
	return response, nil
}

// Introduce implements [snakepitv1.NodeServer].
func (s *server) Introduce(_ context.Context, r *snakepitv1.IntroduceRequest) (*snakepitv1.IntroduceResponse, error) {
	m := s.m
	if own := m.cluster(); (own == "" || own == r.GetCluster()) && m.mayMove(r.GetSelf().GetId()) {
		m.book.note(r.GetSelf().GetId(), r.GetSelf().GetAddress())
	}
	known := []*snakepitv1.NodeAddress{{Id: m.n.ID(), Address: m.n.cfg.Transport.address()}}
	return &snakepitv1.IntroduceResponse{Known: known}, nil
}

// mayMove reports whether a node may say by itself where it is: while somebody leads,
// one that was up may be so still, and whoever speaks a copy of it, which mustn't get
// Raft's messages in its place. A leader finds out.
func (m *mesh) mayMove(id string) bool {
	leader, _ := m.sign.leader()
	row := m.n.machine.member(id)
	return leader == "" || row == nil || !row.serves()
}

// Join implements [snakepitv1.NodeServer].
func (s *server) Join(ctx context.Context, r *snakepitv1.JoinRequest) (response *snakepitv1.JoinResponse, err error) {
	if err := s.m.n.timing.check(ctx, r.GetNode().GetId()); err != nil {
		return nil, err
	}
	if o := s.m.office.Load(); o != nil {
		return o.admit(ctx, r)
	}
	if r.GetPassedOn() {
		return nil, errdefs.New(errdefs.NotLeader, "this node doesn't lead")
	}
	r.PassedOn = true
	err = s.m.atLeader(ctx, func(ctx context.Context, c snakepitv1.NodeClient) error {
		response, err = c.Join(ctx, r)
		return err
	})
	return response, err
}

// Renew implements [snakepitv1.NodeServer].
func (s *server) Renew(ctx context.Context, r *snakepitv1.RenewRequest) (*snakepitv1.RenewResponse, error) {
	o, err := s.office()
	if err != nil {
		return nil, err
	}
	return o.renew(ctx, r)
}

// Propose implements [snakepitv1.NodeServer].
func (s *server) Propose(_ context.Context, r *snakepitv1.ProposeRequest) (*snakepitv1.ProposeResponse, error) {
	if err := s.m.n.mayPropose(r.GetEntry()); err != nil {
		return nil, err
	}
	outcomes, index, err := s.m.n.applyHere(r.GetEntry())
	if err != nil {
		return nil, proposeError(err)
	}
	response := &snakepitv1.ProposeResponse{Index: index}
	for _, o := range outcomes {
		response.Outcomes = append(response.Outcomes, outcomeToWire(o))
	}
	return response, nil
}

// ReadIndex implements [snakepitv1.NodeServer].
func (s *server) ReadIndex(ctx context.Context, _ *snakepitv1.ReadIndexRequest) (*snakepitv1.ReadIndexResponse, error) {
	o, err := s.office()
	if err != nil {
		return nil, err
	}
	index, err := o.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	return &snakepitv1.ReadIndexResponse{Index: index}, nil
}

// Remove implements [snakepitv1.NodeServer].
func (s *server) Remove(ctx context.Context, r *snakepitv1.RemoveRequest) (*snakepitv1.RemoveResponse, error) {
	if o := s.m.office.Load(); o != nil {
		return &snakepitv1.RemoveResponse{}, o.remove(ctx, r.GetId())
	}
	if r.GetPassedOn() {
		return nil, errdefs.New(errdefs.NotLeader, "this node doesn't lead")
	}
	return &snakepitv1.RemoveResponse{}, s.m.removeAtLeader(ctx, r.GetId())
}

// Transfer implements [snakepitv1.NodeServer].
func (s *server) Transfer(ctx context.Context, r *snakepitv1.TransferRequest) (*snakepitv1.TransferResponse, error) {
	if o := s.m.office.Load(); o != nil {
		return &snakepitv1.TransferResponse{}, o.handOver(r.GetId())
	}
	if r.GetPassedOn() {
		return nil, errdefs.New(errdefs.NotLeader, "this node doesn't lead")
	}
	return &snakepitv1.TransferResponse{}, s.m.transferAtLeader(ctx, r.GetId())
}

func (s *server) office() (*office, error) {
	if o := s.m.office.Load(); o != nil {
		return o, nil
	}
	return nil, errdefs.New(errdefs.NotLeader, "this node doesn't lead")
}

// proposeError says for whoever sent an entry whether it may be in the log.
func proposeError(err error) error {
	switch {
	case notAccepted(err):
		return errdefs.Wrap(errdefs.NotLeader, err, "this node doesn't lead")
	case isAny(err, raft.ErrLeadershipLost, raft.ErrRaftShutdown, raft.ErrAbortedByRestore):
		return errdefs.Wrap(errdefs.OutcomeUnknown, err, "the entry may be in the log")
	}
	return err
}
