package hosttest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/snakepit-go/snakepit/host"
)

// Cluster is what several engines in one program share: who owns which session, what
// each node offers, and the ways between them. All of it is in memory and works inside
// a testing/synctest bubble; what a test doesn't do to it doesn't happen, failover
// included.
type Cluster struct {
	calls sync.WaitGroup // on their way between nodes

	mu           sync.Mutex // guards all below, and what the nodes say that it does
	sessions     *host.MemoryRegistry
	owners       map[host.SessionID]host.Owner
	left         map[host.SessionID]host.Left
	nodes        map[string]*Node
	incarnations uint64
}

// NewCluster makes a cluster without nodes.
func NewCluster() *Cluster {
	return &Cluster{sessions: host.NewMemoryRegistry(0), owners: map[host.SessionID]host.Owner{}, left: map[host.SessionID]host.Left{}, nodes: map[string]*Node{}}
}

// Add makes a node that is up, and has room for sessions of any pool.
func (c *Cluster) Add(id string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &Node{MemoryRegistry: c.sessions, cluster: c, id: id, way: newWay(), holds: true}
	n.self = c.register(id)
	c.nodes[id] = n
	return n
}

func (c *Cluster) register(id string) host.Owner {
	c.incarnations++
	return host.Owner{Node: id, Incarnation: c.incarnations}
}

// Wait returns once nothing is on its way between the nodes.
func (c *Cluster) Wait() { c.calls.Wait() }

// Rehome gives a session to a node, as a failover does: it's remembered where it lived.
func (c *Cluster) Rehome(ctx context.Context, id host.SessionID, to *Node) (host.Session, error) {
	c.mu.Lock()
	was, err := c.sessions.Session(ctx, id)
	if err == nil && was.Home != "" {
		c.left[id] = host.Left{Owner: c.owners[id], Home: was.Home}
	}
	c.mu.Unlock()
	if err != nil {
		return host.Session{}, err
	}
	return c.move(ctx, id, was.Epoch, to)
}

// Move gives a session to a node, under a new epoch and without a home, as a failover
// does and a planned move. Who owned it and who does now are told.
func (c *Cluster) Move(ctx context.Context, id host.SessionID, to *Node) (host.Session, error) {
	return c.move(ctx, id, 0, to)
}

// move changes the owner of a session at an epoch, zero for any.
func (c *Cluster) move(ctx context.Context, id host.SessionID, at uint64, to *Node) (host.Session, error) {
	record, from, err := c.give(ctx, id, at, to)
	if err != nil {
		return host.Session{}, err
	}
	if from != nil {
		from.tell()
	}
	to.tell()
	return record, nil
}

func (c *Cluster) give(ctx context.Context, id host.SessionID, at uint64, to *Node) (record host.Session, from *Node, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	record, err = c.sessions.Session(ctx, id)
	if err != nil {
		return host.Session{}, nil, err
	}
	record, err = c.sessions.BindSession(ctx, id, "", cmp.Or(at, record.Epoch))
	if err != nil {
		return host.Session{}, nil, err
	}
	from = c.nodes[c.owners[id].Node]
	c.owners[id], record.Owner = to.self, to.self
	if from != nil && from != to {
		from.changes = append(from.changes, host.OwnerChange{Session: record, Owner: record.Owner})
	}
	to.changes = append(to.changes, host.OwnerChange{Session: record, Owner: record.Owner, Mine: true})
	return record, from, nil
}

// Owned lists the sessions of a node, sorted.
func (c *Cluster) Owned(n *Node) (ids []host.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, owner := range c.owners {
		if owner.Node == n.id {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
