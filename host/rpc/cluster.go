package rpc

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Cluster is what a server needs to answer for a node; without a View its host is none.
type Cluster struct {
	View   ClusterView
	Admin  ClusterAdmin
	Backup ClusterBackup // nil: nothing is on disk. A host that is no node may have one
}

// A ClusterView is how a node sees its cluster.
type ClusterView interface {
	// View is what the node knows; it asks nobody, and judges nothing.
	View() members.Cluster
	// Dial gives the connection to another node, which belongs to this one.
	Dial(ctx context.Context, node string) (grpc.ClientConnInterface, error)
}

// A ClusterAdmin changes who is a member. Each blocks until it's so.
type ClusterAdmin interface {
	// NewToken makes a token with which so many nodes may join; label is for people.
	NewToken(ctx context.Context, uses int, label string) (token string, err error)
	// Leave drains this node and ends its membership; step is told how far it is.
	// The host ends afterwards, by itself. With force it leaves though sessions are
	// left for which nobody else has room; else that's a conflict, and it stays.
	Leave(ctx context.Context, force bool, step func(LeaveStep)) error
	// Remove ends another node's membership.
	Remove(ctx context.Context, node string) error
	// Forget removes the record of a node that is no member any more.
	Forget(ctx context.Context, node string) error
	// Transfer makes another node lead; empty: any that can.
	Transfer(ctx context.Context, node string) error
}

// A ClusterBackup writes down the registry as it is now.
type ClusterBackup interface {
	Backup(ctx context.Context, w io.Writer) error
}

// LeaveStep is how far a node that leaves has come.
type LeaveStep struct {
	Step     string // one of those below
	Sessions uint64 // that it owns yet
}

// The steps, in their order.
const (
	LeaveDraining = "draining"
	LeaveMoving   = "moving"
	LeaveLeaving  = "leaving"
	LeaveLeft     = "left"
)

// membership serves snakepit.v1.Cluster.
type membership struct {
	snakepitv1.UnimplementedClusterServer

	engine  *host.Host
	cluster Cluster
}

// RegisterClusterView lets other nodes ask this one how it sees the cluster, over
// their connections, and nothing else.
func RegisterClusterView(r grpc.ServiceRegistrar, view ClusterView) {
	snakepitv1.RegisterClusterServer(r, &onlooker{view: view})
}

// onlooker is what nodes may ask of each other.
type onlooker struct {
	snakepitv1.UnimplementedClusterServer

	view ClusterView
}

// Status implements snakepitv1.ClusterServer.
func (o *onlooker) Status(context.Context, *snakepitv1.ClusterStatusRequest) (*snakepitv1.ClusterStatusResponse, error) {
	return members.ToWire(o.view.View()), nil
}

// Status implements snakepitv1.ClusterServer.
func (m *membership) Status(ctx context.Context, r *snakepitv1.ClusterStatusRequest) (*snakepitv1.ClusterStatusResponse, error) {
	switch {
	case m.cluster.View == nil:
		return nil, noNode()
	case r.GetHereOnly():
		return members.ToWire(m.cluster.View.View()), nil
	}
	return members.ToWire(survey(ctx, m.cluster.View)), nil
}

// NewToken implements snakepitv1.ClusterServer.
func (m *membership) NewToken(ctx context.Context, r *snakepitv1.ClusterNewTokenRequest) (*snakepitv1.ClusterNewTokenResponse, error) {
	if m.cluster.Admin == nil {
		return nil, noNode()
	}
	token, err := m.cluster.Admin.NewToken(ctx, int(max(r.GetUses(), 1)), r.GetLabel())
	if err != nil {
		return nil, err
	}
	return &snakepitv1.ClusterNewTokenResponse{Token: token}, nil
}

// Leave implements snakepitv1.ClusterServer. Once begun it goes on, whether or not
// somebody listens: a node that has drained and stays would be of no use.
func (m *membership) Leave(r *snakepitv1.ClusterLeaveRequest, stream grpc.ServerStreamingServer[snakepitv1.ClusterLeaveResponse]) error {
	if m.cluster.Admin == nil {
		return noNode()
	}
	return m.cluster.Admin.Leave(context.WithoutCancel(stream.Context()), r.GetForce(), func(s LeaveStep) {
		_ = stream.Send(&snakepitv1.ClusterLeaveResponse{Step: s.Step, Sessions: s.Sessions}) // fails only when nobody listens any more
	})
}

// Remove implements snakepitv1.ClusterServer.
func (m *membership) Remove(ctx context.Context, r *snakepitv1.ClusterRemoveRequest) (*snakepitv1.ClusterRemoveResponse, error) {
	return &snakepitv1.ClusterRemoveResponse{}, m.change(r.GetNode(), func(a ClusterAdmin) error { return a.Remove(ctx, r.GetNode()) })
}

// Forget implements snakepitv1.ClusterServer.
func (m *membership) Forget(ctx context.Context, r *snakepitv1.ClusterForgetRequest) (*snakepitv1.ClusterForgetResponse, error) {
	return &snakepitv1.ClusterForgetResponse{}, m.change(r.GetNode(), func(a ClusterAdmin) error { return a.Forget(ctx, r.GetNode()) })
}

// change does something to a node that must be named.
func (m *membership) change(node string, do func(ClusterAdmin) error) error {
	switch {
	case m.cluster.Admin == nil:
		return noNode()
	case node == "":
		return errdefs.New(errdefs.InvalidArguments, "no node is named")
	}
	return do(m.cluster.Admin)
}

// Transfer implements snakepitv1.ClusterServer.
func (m *membership) Transfer(ctx context.Context, r *snakepitv1.ClusterTransferRequest) (*snakepitv1.ClusterTransferResponse, error) {
	if m.cluster.Admin == nil {
		return nil, noNode()
	}
	return &snakepitv1.ClusterTransferResponse{}, m.cluster.Admin.Transfer(ctx, r.GetNode())
}

// Backup implements snakepitv1.ClusterServer.
func (m *membership) Backup(_ *snakepitv1.ClusterBackupRequest, stream grpc.ServerStreamingServer[snakepitv1.ClusterBackupResponse]) error {
	if m.cluster.Backup == nil {
		e := errdefs.New(errdefs.Conflict, "this host keeps its sessions in memory: there is nothing to back up")
		e.Hint = "start it with a data directory: --data-dir DIR"
		return e
	}
	return m.cluster.Backup.Backup(stream.Context(), pieces{stream})
}

// pieces sends what is written, a bounded piece at a time.
type pieces struct {
	to grpc.ServerStreamingServer[snakepitv1.ClusterBackupResponse]
}

const maxPiece = 256 << 10

// Write implements io.Writer.
func (p pieces) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		end := min(n+maxPiece, len(b))
		if err := p.to.Send(&snakepitv1.ClusterBackupResponse{Data: b[n:end]}); err != nil {
			return n, err
		}
		n = end
	}
	return len(b), nil
}

// noNode is what a host says that runs by itself.
func noNode() error {
	e := errdefs.New(errdefs.Conflict, "this host is no node of a cluster")
	e.Hint = "start it with `snakepit serve --cluster-listen HOST:PORT`: docs/cluster.md says how"
	return e
}
