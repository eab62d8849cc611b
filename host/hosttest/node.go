package hosttest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Node is one member of a [Cluster], as its engine sees it: a host.Registry, a
// host.OwnerRegistry, a host.ToolRegistry and the host.Peers. Its lease holds until a
// test ends it.
type Node struct {
	*host.MemoryRegistry // the same for all: what has no owner

	// OnOwner is told of each session that the node begins or ceases to own, one after the
	// other; nil: nobody.
	// It's set before the first session is opened.
	OnOwner func(host.OwnerChange)
	// OnPublish may refuse what the node offers; nil: nothing is refused.
	OnPublish func([]host.OfferedTool) error

	cluster *Cluster
	id      string
	way     *way
	telling sync.Mutex // held by who tells OnOwner

	// The cluster's mutex guards these.
	changes []host.OwnerChange // that OnOwner isn't told of yet
	self    host.Owner
	holds   bool
	blind   bool
	down    bool
	engine  *host.Host
	tools   []host.OfferedTool
	told    int
	room    map[string]int
	lags    map[host.SessionID]belief
}

// belief is what a node that lags behind takes for a session's owner; epoch zero: it
// knows none.
type belief struct {
	owner host.Owner
	epoch uint64
}

// tell tells of the changes that there are, in their order and one at a time.
func (n *Node) tell() {
	n.telling.Lock()
	defer n.telling.Unlock()
	for {
		n.cluster.mu.Lock()
		changes := n.changes
		n.changes = nil
		n.cluster.mu.Unlock()
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			if n.OnOwner != nil {
				n.OnOwner(c)
			}
		}
	}
}

// Serve says which engine runs on the node; nil: none, and nobody reaches it.
func (n *Node) Serve(h *host.Host) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.engine = h
}

// SetLease says whether the node's lease holds.
func (n *Node) SetLease(holds bool) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.holds = holds
}

// SetReady says whether the node knows anything yet: until then, whatever it's asked
// about sessions and processes fails with no_quorum, and it has no lease.
func (n *Node) SetReady(ready bool) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.holds, n.blind = ready, !ready
}

// sees fails before the node knows anything; the cluster's mutex is held.
func (n *Node) sees() error {
	if n.blind {
		return errdefs.New(errdefs.NoQuorum, "node %s knows nothing yet", n.id)
	}
	return nil
}

// SetDown says whether the others take the node for dead. Its sessions stay where they
// are until somebody moves them.
func (n *Node) SetDown(down bool) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.down = down
	n.holds = n.holds && !down
}

// Register gives the node a new incarnation and a lease, as after a restart.
func (n *Node) Register() host.Owner {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.self, n.holds, n.down = n.cluster.register(n.id), true, false
	return n.self
}

// Published says how often the node has told what it offers.
func (n *Node) Published() int {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.told
}

// Self implements host.OwnerRegistry.
func (n *Node) Self() (self host.Owner, holds bool) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.self, n.holds
}

// Owner implements host.OwnerRegistry.
func (n *Node) Owner(ctx context.Context, id host.SessionID) (owner host.Owner, epoch uint64, err error) {
	n.cluster.mu.Lock()
	b, lags := n.lags[id]
	n.cluster.mu.Unlock()
	if lags && b.epoch == 0 {
		return host.Owner{}, 0, errdefs.New(errdefs.SessionNotFound, "no session %q yet", id)
	}
	if lags {
		return b.owner, b.epoch, nil
	}
	record, err := n.Session(ctx, id)
	return record.Owner, record.Epoch, err
}

// Lag makes the node take another one for a session's owner, as of an epoch, until
// CatchUp; the epoch zero: it doesn't know the session. Only Owner lags.
func (n *Node) Lag(id host.SessionID, owner *Node, epoch uint64) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if n.lags == nil {
		n.lags = map[host.SessionID]belief{}
	}
	b := belief{epoch: epoch}
	if owner != nil {
		b.owner = owner.self
	}
	n.lags[id] = b
}

// CatchUp ends every Lag.
func (n *Node) CatchUp() {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.lags = nil
}

// MoveSession implements host.OwnerRegistry.
func (n *Node) MoveSession(ctx context.Context, id host.SessionID, from uint64, to host.Owner) (host.Session, error) {
	next := n.cluster.up(to)
	if next == nil {
		return host.Session{}, errdefs.New(errdefs.Fenced, "node %s isn't up as %d", to.Node, to.Incarnation)
	}
	return n.cluster.move(ctx, id, from, next)
}

// up finds a node that is up under an incarnation; nil: none is.
func (c *Cluster) up(as host.Owner) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[as.Node]; n != nil && !n.down && n.self == as {
		return n
	}
	return nil
}

// SetRoom says for how many sessions of a pool the node has room; what isn't said is
// without bound.
func (n *Node) SetRoom(pool string, sessions int) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if n.room == nil {
		n.room = map[string]int{}
	}
	n.room[pool] = sessions
}

// Place implements host.OwnerRegistry: the nodes in turn that have room.
func (n *Node) Place(_ context.Context, pool string, want int) ([]host.Owner, error) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	given := map[*Node]int{}
	var placed []host.Owner
	for len(placed) < want {
		before := len(placed)
		for _, x := range c.others(n) {
			room, bounded := x.room[pool]
			if len(placed) < want && (!bounded || given[x] < room) {
				given[x]++
				placed = append(placed, x.self)
			}
		}
		if len(placed) == before {
			break
		}
	}
	return placed, nil
}

// others lists the nodes that are up but for n, sorted; the mutex is held.
func (c *Cluster) others(n *Node) (list []*Node) {
	for _, x := range c.nodes {
		if x != n && !x.down {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b *Node) int { return cmp.Compare(a.id, b.id) })
	return list
}

// OpenSession implements host.Registry. It fails with fenced when the node has no lease.
func (n *Node) OpenSession(ctx context.Context, s host.Session) (host.Session, error) {
	c := n.cluster
	c.mu.Lock()
	if !n.holds {
		c.mu.Unlock()
		return host.Session{}, errdefs.New(errdefs.Fenced, "node %s has no lease", n.id)
	}
	_, missing := c.sessions.Session(ctx, s.ID)
	record, err := c.sessions.OpenSession(ctx, s)
	opened := err == nil && missing != nil
	if opened {
		c.owners[s.ID], record.Owner = n.self, n.self
		n.changes = append(n.changes, host.OwnerChange{Session: record, Owner: n.self, Mine: true})
	}
	record.Owner = c.owners[s.ID]
	c.mu.Unlock()
	n.tell()
	return record, err
}

// Session implements host.Registry.
func (n *Node) Session(ctx context.Context, id host.SessionID) (host.Session, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if err := n.sees(); err != nil {
		return host.Session{}, err
	}
	record, err := n.cluster.sessions.Session(ctx, id)
	if err == nil {
		record.Owner = n.cluster.owners[id]
	}
	return record, err
}

// BindSession implements host.Registry.
func (n *Node) BindSession(ctx context.Context, id host.SessionID, home host.WorkerID, from uint64) (host.Session, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	record, err := n.cluster.sessions.BindSession(ctx, id, home, from)
	if err == nil {
		record.Owner = n.cluster.owners[id]
	}
	return record, err
}

// CloseSession implements host.Registry.
func (n *Node) CloseSession(ctx context.Context, id host.SessionID, expired bool) error {
	c := n.cluster
	c.mu.Lock()
	owner := c.nodes[c.owners[id].Node]
	err := c.sessions.CloseSession(ctx, id, expired)
	if err == nil && owner != nil {
		delete(c.owners, id)
		owner.changes = append(owner.changes, host.OwnerChange{Session: host.Session{ID: id}})
	}
	c.mu.Unlock()
	if owner != nil {
		owner.tell()
	}
	return err
}

// Sessions implements host.Registry.
func (n *Node) Sessions(ctx context.Context) ([]host.Session, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if err := n.sees(); err != nil {
		return nil, err
	}
	all, err := n.cluster.sessions.Sessions(ctx)
	for i := range all {
		all[i].Owner = n.cluster.owners[all[i].ID]
	}
	return all, err
}

// Processes implements host.ProcessRegistry.
func (n *Node) Processes(ctx context.Context) ([]host.ProcessRecord, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if err := n.sees(); err != nil {
		return nil, err
	}
	return n.MemoryRegistry.Processes(ctx)
}

// ClaimProcess implements host.ProcessRegistry.
func (n *Node) ClaimProcess(ctx context.Context, p host.ProcessRecord) (host.ProcessRecord, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if err := n.sees(); err != nil {
		return host.ProcessRecord{}, err
	}
	return n.MemoryRegistry.ClaimProcess(ctx, p)
}

// PublishTools implements host.ToolRegistry.
func (n *Node) PublishTools(_ context.Context, tools []host.OfferedTool) error {
	if n.OnPublish != nil {
		if err := n.OnPublish(tools); err != nil {
			return err
		}
	}
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.tools = slices.Clone(tools)
	n.told++
	return nil
}

// NodeTools implements host.ToolRegistry.
func (n *Node) NodeTools() (list []host.NodeTool) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	for _, x := range n.cluster.others(n) {
		for _, t := range x.tools {
			list = append(list, host.NodeTool{OfferedTool: t, Node: x.id})
		}
	}
	slices.SortStableFunc(list, func(a, b host.NodeTool) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Node, b.Node))
	})
	return list
}

// Left implements host.LeftRegistry.
func (n *Node) Left(id host.SessionID) host.Left {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, err := c.sessions.Session(context.Background(), id); err != nil || s.Home != "" {
		return host.Left{}
	}
	return c.left[id]
}
