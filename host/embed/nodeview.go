package embed

import (
	"context"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/host/rpc"
)

// clusterParts are what the API tells of the node that this host is, and does about it.
func (h *Host) clusterParts() rpc.Cluster {
	var parts rpc.Cluster
	if h.registry != nil {
		parts.Backup = h.registry
	}
	if h.node != nil {
		parts.View, parts.Admin = nodeView{h}, nodeAdmin{h}
	}
	return parts
}

// nodeView is how this host's node sees its cluster.
type nodeView struct{ h *Host }

var _ rpc.ClusterView = nodeView{}

// View implements rpc.ClusterView. A node that is being opened knows nothing yet.
func (v nodeView) View() members.Cluster {
	n := v.h.node.self.Load()
	if n == nil {
		return members.Cluster{}
	}
	o, left := n.Overview(), n.LeaseLeft()
	c := members.Cluster{
		ID: o.Cluster, Self: o.ID, Leader: o.Leader, Term: o.Term, Last: o.Last, Commit: o.Commit, Applied: o.Applied, Level: o.Level, Generation: o.Generation,
		Tokens: usable(n.Tokens()),
	}
	c.Lease.Held, c.Lease.Endless = left > 0, left == cluster.Forever
	if !c.Lease.Endless {
		c.Lease.Left = left
	}
	renewals, unverified := n.Renewals(), v.unverified(n)
	for _, m := range o.Members {
		one := nodeOf(m)
		one.Leader, one.Unverified = m.ID == o.Leader, unverified[m.ID]
		if age, known := renewals[m.ID]; known {
			one.Renewed = &age
		}
		if m.ID == o.ID {
			one.Answers, one.LeaseHeld, one.Applied = true, c.Lease.Held, o.Applied
			one.Version, one.Disk = v.h.record.Version, diskOf(v.h.dirs.registry())
			one.Disk.Write = o.DiskHangs
		}
		c.Nodes = append(c.Nodes, one)
	}
	return c
}

func nodeOf(m cluster.MemberOverview) members.Node {
	return members.Node{
		ID: m.ID, Name: m.Name, Address: m.Address, API: m.API, Status: string(m.Status), Member: m.Joined, Voter: m.Voter,
		Incarnation: m.Incarnation, Sessions: m.Sessions, Rules: m.MaxVersion, Machine: m.Machine.Machine,
	}
}

// usable counts the tokens with which somebody may still join.
func usable(tokens []cluster.Token) (n int) {
	for _, t := range tokens {
		if len(t.Spent) < t.Uses {
			n++
		}
	}
	return n
}

// unverified counts, for each node, the processes that nobody has seen end.
func (v nodeView) unverified(n *cluster.Node) map[string]int {
	all := map[string]int{}
	processes, err := n.Processes(context.Background())
	if err != nil {
		return all // it has ended, and whoever asks hears that otherwise
	}
	for _, p := range processes {
		if p.Unverified {
			all[p.Owner.Node]++
		}
	}
	return all
}

// Dial implements rpc.ClusterView.
func (v nodeView) Dial(ctx context.Context, node string) (grpc.ClientConnInterface, error) {
	return v.h.registry.Dial(ctx, node)
}
