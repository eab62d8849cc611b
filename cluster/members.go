package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// transferWait is how long a leader may take to hand over.
const transferWait = 5 * time.Second

// Overview is the cluster as one node sees it.
type Overview struct {
	ID         string // who sees it
	Cluster    string // empty: it has no id yet
	Leader     string // empty: none is known
	Term       uint64
	Last       uint64        // index of the last entry in the log
	Commit     uint64        // up to which a majority is known to have it
	Applied    uint64        // of the last entry of commands that was applied here
	Level      uint32        // version of the registry's rules that all nodes know
	Generation uint64        // of epochs
	DiskHangs  time.Duration // for how long a write to this node's log has been under way; zero: the disk is well
	Members    []MemberOverview
}

// MemberOverview is one node in an [Overview].
type MemberOverview struct {
	Member

	Voter    bool
	Joined   bool // it's a member of Raft's configuration
	Sessions uint64
}

// Overview says how the cluster looks from here. It asks nobody.
func (n *Node) Overview() Overview {
	level, cluster := n.machine.level()
	o := Overview{
		ID: n.ID(), Cluster: cluster, Level: level, Term: n.raft.CurrentTerm(),
		Last: n.raft.LastIndex(), Commit: n.raft.CommitIndex(), Applied: n.machine.index(),
	}
	o.Generation = n.machine.generation()
	if n.disk.patience.hangs() {
		o.DiskHangs = n.disk.patience.waited()
	}
	_, leader := n.raft.LeaderWithID()
	o.Leader = string(leader)
	owned := n.machine.owned()
	servers := map[string]raft.ServerSuffrage{}
	for _, s := range n.servers() {
		servers[string(s.ID)] = s.Suffrage
	}
	for _, row := range n.machine.members() {
		suffrage, joined := servers[row.ID]
		m := MemberOverview{Member: *row, Voter: joined && suffrage == raft.Voter, Joined: joined, Sessions: owned[row.ID]}
		m.Nonce = ""
		o.Members = append(o.Members, m)
	}
	return o
}

// owned counts the sessions of each node.
func (m *machine) owned() map[string]uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := map[string]uint64{}
	for _, s := range m.state.sessions {
		all[s.Owner.Node]++
	}
	return all
}

// Remove ends another node's membership, for good: its id can't come back before
// [Node.Forget]. A node that is alive gets no more leases and ends with node_removed
// when its last one has; what it owned is given to others. It blocks until then.
// Errors: conflict when too few voters would be left alive, or for the leader, which
// must hand over first; invalid_arguments for a node that isn't known; not_leader
// when nobody leads; deadline and cancelled.
func (n *Node) Remove(ctx context.Context, id string) error {
	if err := n.several(ctx); err != nil {
		return err
	}
	if o := n.mesh.office.Load(); o != nil {
		return o.remove(ctx, id)
	}
	return n.mesh.removeAtLeader(ctx, id)
}

// Forget removes the record of a node that is down or has left.
func (n *Node) Forget(ctx context.Context, id string) error {
	if err := n.several(ctx); err != nil {
		return err
	}
	for _, s := range n.servers() {
		if string(s.ID) == id {
			return errdefs.New(errdefs.Conflict, "node %q is a member: remove it first", id)
		}
	}
	_, err := n.propose(ctx, forgetNode(id))
	return err
}

// Transfer makes another voter the leader; empty: any. It blocks until this leader
// isn't one any more. Errors: not_leader when nobody leads; conflict when nobody else could lead.
func (n *Node) Transfer(ctx context.Context, id string) error {
	if err := n.several(ctx); err != nil {
		return err
	}
	if o := n.mesh.office.Load(); o != nil {
		return o.handOver(id)
	}
	return n.mesh.transferAtLeader(ctx, id)
}

// Leave ends this node's own membership, for good: another one leads, it gives its
// lease back, and what it owns goes to others; then it ends as after Close. A host
// has drained first. The last member can't leave. While too few of the others are
// alive, it waits for them until ctx ends. When it fails later, the node has ended all the same, and is still a
// member: another one may remove it.
func (n *Node) Leave(ctx context.Context) error {
	if err := n.several(ctx); err != nil {
		return err
	}
	if n.sole() {
		return errdefs.New(errdefs.Conflict, "the last member of a cluster can't leave it")
	}
	if o := n.mesh.office.Load(); o != nil {
		if err := o.raiseHeir(ctx); err != nil {
			return err
		}
	}
	n.mesh.retire() //nolint:contextcheck // it has a bound of its own, as in Close
	for {
		_, changed := n.mesh.sign.leader()
		err := n.mesh.removeAtLeader(ctx, n.ID())
		if err == nil || errdefs.ReasonOf(err) == errdefs.NodeRemoved {
			return n.Close()
		}
		if ctx.Err() != nil || decided(err) && errdefs.ReasonOf(err) != errdefs.Conflict {
			return firstOf(err, n.Close())
		}
		n.log.Debug("not removed yet", "error", err)
		n.mesh.pause(ctx, lookEvery, changed)
	}
}

// raiseHeir gives another node a vote where only this one has any, so that it can
// lead. It keeps the right to change the membership: this office is about to end.
func (o *office) raiseHeir(ctx context.Context) error {
	if err := o.lock(ctx); err != nil {
		return err
	}
	voters, spare := divide(o.seats())
	if len(voters) > 1 || len(spare) == 0 {
		return nil
	}
	return o.vote(ctx, votes{spare[0].id, true})
}

// several fails when the node has ended, or is none of several.
func (n *Node) several(ctx context.Context) error {
	if err := n.check(ctx); err != nil {
		return err
	}
	if n.mesh == nil {
		return errdefs.New(errdefs.Conflict, "this host listens for no other nodes")
	}
	return nil
}

func (m *mesh) removeAtLeader(ctx context.Context, id string) error {
	return m.atLeader(ctx, func(ctx context.Context, c snakepitv1.NodeClient) error {
		_, err := c.Remove(ctx, &snakepitv1.RemoveRequest{Id: id, PassedOn: true})
		return err
	})
}

// transferAtLeader doesn't stop asking when another one leads: that is what it asks for.
func (m *mesh) transferAtLeader(ctx context.Context, id string) error {
	leader, _ := m.sign.leader()
	if leader == "" || leader == m.n.ID() {
		return errdefs.New(errdefs.NotLeader, "nobody is known to lead")
	}
	ctx, cancel := context.WithTimeout(ctx, transferWait)
	defer cancel()
	return m.at(ctx, leader, func(ctx context.Context, c snakepitv1.NodeClient) error {
		_, err := c.Transfer(ctx, &snakepitv1.TransferRequest{Id: id, PassedOn: true})
		return err
	})
}

// handOver makes another voter the leader; empty: any that is alive and has caught
// up. Raft's own choice might be one that is dead.
func (o *office) handOver(id string) error {
	err := error(errdefs.New(errdefs.Conflict, "no other voter is alive and has caught up"))
	for _, s := range o.seats() {
		if !s.voter || s.leader || id != "" && s.id != id || id == "" && !s.ready {
			continue
		}
		future := o.m.n.raft.LeadershipTransferToServer(raft.ServerID(s.id), raft.ServerAddress(o.m.address(s.id)))
		if failed := future.Error(); failed != nil {
			err = errdefs.Wrap(errdefs.Conflict, failed, "the leadership stays where it is")
			continue
		}
		return nil
	}
	return err
}
