package client

import (
	"context"
	"errors"
	"io"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// ClusterStatus tells how the cluster is, as the node finds it that this client
// talks to; it asks the others, for a second at most. Errors: conflict for a host
// that is no node.
func (c *Client) ClusterStatus(ctx context.Context) (*snakepitv1.ClusterStatusResponse, error) {
	return c.cluster().Status(ctx, &snakepitv1.ClusterStatusRequest{})
}

// NewClusterToken makes what new nodes must show to join, for a day: so many of
// them, zero for one. label says what it's for, in at most 256 bytes.
func (c *Client) NewClusterToken(ctx context.Context, uses uint32, label string) (token string, err error) {
	r, err := c.cluster().NewToken(ctx, &snakepitv1.ClusterNewTokenRequest{Uses: uses, Label: label})
	return r.GetToken(), err
}

// LeaveCluster ends this client's node's membership, for good, and its host: its
// calls end first, and its sessions go to others. progress (nil: nobody) is told of
// each step. Once begun it goes on, whether or not ctx does. Sessions for which nobody
// has room keep it, with conflict, unless it's forced: then they wait for room, with
// their replicated state alone.
func (c *Client) LeaveCluster(ctx context.Context, force bool, progress func(*snakepitv1.ClusterLeaveResponse)) error {
	stream, err := c.cluster().Leave(ctx, &snakepitv1.ClusterLeaveRequest{Force: force})
	if err != nil {
		return err
	}
	return follow(stream, progress)
}

// RemoveNode ends another node's membership, for good, and blocks until that one surely
// serves no session any more. Errors: conflict when too few voters would be left alive,
// or for the leader; invalid_arguments for a node that isn't known; not_leader when nobody leads.
func (c *Client) RemoveNode(ctx context.Context, id string) error {
	_, err := c.cluster().Remove(ctx, &snakepitv1.ClusterRemoveRequest{Node: id})
	return err
}

// ForgetNode removes the record of a node that is no member any more. Errors:
// conflict for a member; those of a write.
func (c *Client) ForgetNode(ctx context.Context, id string) error {
	_, err := c.cluster().Forget(ctx, &snakepitv1.ClusterForgetRequest{Node: id})
	return err
}

// TransferLeadership makes another node lead; empty: any voter that has caught up.
// Errors: conflict when that one can't; not_leader when nobody leads.
func (c *Client) TransferLeadership(ctx context.Context, id string) error {
	_, err := c.cluster().Transfer(ctx, &snakepitv1.ClusterTransferRequest{Node: id})
	return err
}

// MoveSession moves a session to the node of an id, with its state and what its adapter
// saves, once its running calls have ended, and says which node had it: that same one
// where there was nothing to move. ctx bounds how long it may take. Errors:
// session_not_found; invalid_arguments for a node that isn't known; conflict for one that
// gets no sessions, and for a session that never leaves its node; pool_not_found;
// session_quota; host_unreachable when its owner, or that node, doesn't answer;
// unimplemented when one of the hosts is of a version that can't do it.
func (c *Client) MoveSession(ctx context.Context, session, node string) (from string, err error) {
	r, err := c.cluster().MoveSession(ctx, &snakepitv1.ClusterMoveSessionRequest{Session: session, Node: node})
	return r.GetFrom(), err
}

// Rebalance moves sessions until, in each pool, no node that is up has more than one
// above another. step (nil: nobody) is told what is to be moved, then what became of
// each session, or with DryRun what would. A move that fails stops no other, and isn't an
// error. When ctx ends no further one is begun. Errors: pool_not_found; conflict for a
// host that is no node; unimplemented for one of a version that can't do it.
func (c *Client) Rebalance(ctx context.Context, r *snakepitv1.ClusterRebalanceRequest, step func(*snakepitv1.ClusterRebalanceResponse)) error {
	stream, err := c.cluster().Rebalance(ctx, r)
	if err != nil {
		return err
	}
	return follow(stream, step)
}

// Backup writes the registry as it is now: sessions with their state, nodes and
// processes. It's whole only when there's no error.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	stream, err := c.cluster().Backup(ctx, &snakepitv1.ClusterBackupRequest{})
	if err != nil {
		return err
	}
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(piece.GetData()); err != nil {
			return err
		}
	}
}

func (c *Client) cluster() snakepitv1.ClusterClient { return snakepitv1.NewClusterClient(c.conn) }
