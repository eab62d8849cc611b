package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// askWait bounds one question to another node.
	askWait = 500 * time.Millisecond
	// partingWait bounds what a node does for the others before it ends.
	partingWait = time.Second
)

// mesh is what a node has that others can reach, beside Raft and the machine.
type mesh struct {
	n        *Node
	nonce    string // of this start
	clock    Clock
	book     *book
	peers    *peers
	sign     *sign
	watch    *watch
	verifier *verifier
	asks     asks
	server   *grpc.Server
	office   atomic.Pointer[office] // nil: this node doesn't lead, or not yet
	draining atomic.Bool
	standing atomic.Pointer[standing] // nil: this start isn't registered yet

	registered chan struct{} // closed when this start is

	cancel  context.CancelFunc // ends all goroutines
	holding context.CancelFunc // ends the renewals
	running sync.WaitGroup
	renewer sync.WaitGroup

	mu      sync.Mutex // guards all below
	lease   Lease
	bounded bool // the lease has an end, whatever a renewal under way says
}

func newMesh(n *Node) *mesh {
	m := &mesh{
		n: n, nonce: newUUID(), clock: n.cfg.Clock, book: newBook(n.machine, n.ID(), n.cfg.Transport.address(), n.cfg.Join),
		peers: newPeers(n.cfg.Transport, n.timing, n.clusterID), sign: newSign(), watch: newWatch(n.ID()), registered: make(chan struct{}),
	}
	n.machine.state.watch = m.watch
	m.verifier = newVerifier(func(ctx context.Context) error {
		return m.asks.await(ctx, func() error { return n.raft.VerifyLeader().Error() })
	})
	m.server = newServer(m)
	return m
}

// start begins to serve, once Raft runs.
func (m *mesh) start() {
	var ctx, holding context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	holding, m.holding = context.WithCancel(ctx)
	m.sign.follow(m.n.raft)
	m.running.Go(func() { _ = m.server.Serve(m.n.cfg.Transport.RPC) }) // its end is stop's
	m.running.Go(func() { m.verifier.run(ctx) })
	m.running.Go(func() { m.lead(ctx) })
	m.running.Go(func() { m.tellOwners(ctx) })
	m.renewer.Go(func() { m.hold(holding) })
}

// retire leaves others in good order: another leads, and knows that this node
// serves no session any more, so that they needn't wait for its lease's end.
func (m *mesh) retire() {
	m.holding()
	m.renewer.Wait()
	last := m.drop()
	ctx, cancel := context.WithTimeout(context.Background(), m.n.timing.of(partingWait))
	defer cancel()
	if o := m.office.Load(); o != nil && m.others() {
		if err := o.handOver(""); err != nil {
			m.n.log.Warn("nobody else leads yet", "error", err)
		}
	}
	if last.Incarnation != 0 {
		m.release(ctx, last.Incarnation)
	}
}

// others reports whether another node votes.
func (m *mesh) others() bool {
	for _, s := range m.configured() {
		if s.Suffrage == raft.Voter && string(s.ID) != m.n.ID() {
			return true
		}
	}
	return false
}

func (m *mesh) configured() []raft.Server {
	future := m.n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

// release gives the lease back to whoever leads, if anybody does soon.
func (m *mesh) release(ctx context.Context, incarnation uint64) {
	request := &snakepitv1.RenewRequest{Id: m.n.ID(), Incarnation: incarnation, Nonce: m.nonce, Release: true}
	for ctx.Err() == nil {
		leader, changed := m.sign.leader()
		if leader == m.n.ID() && !m.others() {
			return
		}
		if leader != "" && leader != m.n.ID() {
			if _, err := m.renewWith(ctx, leader, request); err == nil || errdefs.ReasonOf(err) == errdefs.Fenced {
				return
			}
		}
		m.pause(ctx, retryWait, changed)
	}
}

// hush answers nobody any more, while Raft can still answer those who wait for it.
func (m *mesh) hush() {
	m.holding()
	m.cancel()
	m.stopServing()
	m.renewer.Wait()
	m.running.Wait()
	m.asks.settle(raftTimeout)
}

// stopServing tells the others to ask nothing more here, and answers what they have asked:
// who is cut off in the middle can't know whether it was done.
func (m *mesh) stopServing() {
	served := make(chan struct{})
	m.running.Go(func() {
		defer close(served)
		m.server.GracefulStop()
	})
	patience := time.NewTimer(m.n.timing.of(partingWait))
	defer patience.Stop()
	select {
	case <-served:
	case <-patience.C:
		m.server.Stop()
	}
}

// stop closes the connections, once Raft has ended.
func (m *mesh) stop() {
	m.peers.close()
	if b, ok := m.n.trans.(*border); ok {
		b.CloseStreams()
	}
}

// lead has an office for each term that this node leads.
func (m *mesh) lead(ctx context.Context) {
	var current sync.WaitGroup
	leave := func() {}
	for {
		select {
		case leading := <-m.n.raft.LeaderCh():
			leave()
			current.Wait()
			if !leading {
				continue
			}
			var term context.Context
			term, leave = context.WithCancel(ctx)
			o := newOffice(m)
			current.Go(func() { o.run(term) })
		case <-ctx.Done():
			leave()
			current.Wait()
			return
		}
	}
}

// pause waits for a while, or until the leader changes.
func (m *mesh) pause(ctx context.Context, wait time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
}

// atLeader asks whoever leads now. It fails with not_leader when that is nobody.
func (m *mesh) atLeader(ctx context.Context, do func(context.Context, snakepitv1.NodeClient) error) error {
	leader, changed := m.sign.leader()
	if leader == "" || leader == m.n.ID() {
		return errdefs.New(errdefs.NotLeader, "nobody is known to lead")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-changed: // its answer, if one comes, is worth nothing
			cancel()
		case <-ctx.Done():
		}
	})
	return m.at(ctx, leader, do)
}

func (m *mesh) at(ctx context.Context, id string, do func(context.Context, snakepitv1.NodeClient) error) error {
	address := m.address(id)
	if address == "" {
		return unreachable(id)
	}
	return m.peers.ask(ctx, peer{id, address}, do)
}

// address is where a node is: Raft's own list is the last resort.
func (m *mesh) address(id string) string {
	if a := m.book.address(id); a != "" {
		return a
	}
	for _, s := range m.configured() {
		if string(s.ID) == id {
			return string(s.Address)
		}
	}
	return ""
}

// cluster is the cluster's id, as far as it's known here.
func (m *mesh) cluster() string { return m.n.clusterID() }

func (n *Node) clusterID() string {
	if _, cluster := n.machine.level(); cluster != "" {
		return cluster
	}
	return n.disk.who().Cluster
}

// self is this node as it registers itself.
func (m *mesh) self() Member {
	cfg := m.n.cfg
	return Member{
		ID: m.n.ID(), Name: cfg.Node, Address: cfg.Transport.address(), API: cfg.API, Machine: cfg.Machine, Process: cfg.Process,
		Nonce: m.nonce, MinVersion: 1, MaxVersion: m.n.machine.knows, RehomeAfter: cfg.RehomeAfter,
	}
}

// Dial gives the connection to another node over which the services of its
// [Transport] are reached. It belongs to this node, and connects when it's used.
// Errors: host_unreachable when nobody knows where that node is; conflict for a host
// that is no node of several.
func (n *Node) Dial(ctx context.Context, id string) (grpc.ClientConnInterface, error) {
	if err := n.several(ctx); err != nil {
		return nil, err
	}
	address := n.mesh.address(id)
	if address == "" {
		return nil, unreachable(id)
	}
	return n.mesh.peers.conn(peer{id, address})
}

// NodeAt says who is at an address, for a transport that must know; empty: it isn't
// known here.
func (n *Node) NodeAt(address string) string {
	if n.mesh == nil {
		return ""
	}
	return n.mesh.book.at(address)
}
