package embed

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// node is what a host has that is one of several, beside what any host has. A nil one
// is that of a host by itself.
type node struct {
	link      *link.Link
	enrolment *link.Enrolment
	peers     *rpc.PeerServer
	tenure    *tenure
	self      atomic.Pointer[cluster.Node]

	cancel  context.CancelFunc // ends the link
	linking sync.WaitGroup
	lost    chan error // the link's end, where nobody wanted it

	resigned chan error // has room for one: what came of leaving

	frozen []host.WorkerID // survivors that were when they were found, and weren't ended; only the start and serveNode use it
}

// openNode opens the cluster's port and makes this host a node, once it has caught up.
func (h *Host) openNode(ctx context.Context) (err error) {
	k := h.set.host
	if h.dirs.data == "" {
		e := errdefs.New(errdefs.InvalidConfig, "a node of a cluster needs a data directory")
		e.Hint = "give it one: what it promised the others must be there when it starts again"
		return e
	}
	n := &node{peers: rpc.NewPeerServer(h.logger.Named("peers")), lost: make(chan error, 1), resigned: make(chan error, 1)}
	n.tenure = newTenure(h.launcher, h.logger.Named("tenure"))
	cfg := link.Config{
		Addr: config.WithPort(k.ClusterListen), Advertise: config.WithPort(k.ClusterAdvertise), Removed: n.removed, Logger: h.logger,
	}
	if cfg.Node, err = cluster.NodeID(h.dirs.registry()); err != nil {
		return err
	}
	if cfg.Identity, err = h.identify(ctx, cfg.Node); err != nil {
		return err
	}
	if n.link, err = link.Listen(ctx, cfg); err != nil {
		return err
	}
	n.enrolment = h.newEnrolment(n, cfg.Node)
	h.node = n
	n.start(ctx)
	nodeConfig := h.nodeConfig()
	belongs, err := cluster.Belongs(h.dirs.registry())
	if err != nil {
		return err
	}
	nodeConfig.Background = belongs != "" // who joins has to be let in first
	registry, err := cluster.Open(ctx, nodeConfig)
	if err != nil {
		return err
	}
	h.registry = registry
	n.self.Store(registry)
	if err := h.awaitQuorum(ctx); err != nil {
		return err
	}
	if !h.named() {
		h.set.host.Node, h.record.Node = registry.ID(), registry.ID()
	}
	return nil
}

// start accepts connections until stop.
func (n *node) start(ctx context.Context) {
	var live context.Context
	live, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.linking.Go(func() {
		if err := n.link.Run(live); err != nil {
			n.lost <- errdefs.Wrap(errdefs.Internal, err, "the cluster's port")
		}
	})
	n.linking.Go(func() { _ = n.enrolment.Run(live) }) // it ends as the port does
}

// stop closes the port, once the registry is closed.
func (n *node) stop() {
	if n == nil {
		return
	}
	n.cancel()
	n.linking.Wait()
	n.peers.Wait()
}

// api is where clients arrive at the cluster's port; nil: nowhere.
func (n *node) api() net.Listener {
	if n == nil {
		return nil
	}
	return n.link.API()
}

// failed tells when the port is lost.
func (n *node) failed() <-chan error {
	if n == nil {
		return nil
	}
	return n.lost
}

// named reports whether the host was given a name: among several, the default is
// nobody's.
func (h *Host) named() bool {
	kind := h.set.loaded.Origin("node").Kind
	return kind != config.FromDefault && kind != ""
}

func (h *Host) nodeConfig() cluster.Config {
	k, n := h.set.host, h.node
	cfg := cluster.Config{
		Dir: h.dirs.registry(), Node: k.Node, MaxSessions: k.MaxSessions, Logger: h.logger,
		Transport: &cluster.Transport{
			Raft: n.link.Raft(n.at), RPC: n.link.Nodes(), Services: h.registerPeerServices, Credentials: link.Credentials(),
			Dial: func(ctx context.Context, id, address string) (net.Conn, error) {
				return n.link.DialNode(ctx, address, id)
			},
		},
		Token: rand.Text(), // that nobody knows: only those that were made for it let a node join
		API:   n.link.Addr(), Machine: h.machine(), Process: ownProcess(),
		Gone:   func(p host.Process) bool { return proc.Gone(identityOf(p)) },
		Timing: k.Timing, RehomeAfter: k.RehomeAfter, Pools: n.tenure.room, OnLease: n.tenure.onLease, OnOwner: n.tenure.onOwner,
		OnOverrides: h.onOverrides,
	}
	if !h.named() {
		cfg.Node = n.link.Addr()
	}
	if len(k.Join) > 0 {
		cfg.Join = &cluster.Join{Token: k.JoinToken}
		for _, address := range k.Join {
			cfg.Join.Addresses = append(cfg.Join.Addresses, config.WithPort(address))
		}
	}
	return cfg
}

// registerPeerServices adds what other nodes may ask of this one to the node's own service.
func (h *Host) registerPeerServices(r grpc.ServiceRegistrar) {
	h.node.register(r)
	rpc.RegisterClusterView(r, nodeView{h})
}

// at says which node is at an address; empty while nobody knows.
func (n *node) at(address raft.ServerAddress) string {
	if self := n.self.Load(); self != nil {
		return self.NodeAt(string(address))
	}
	return ""
}

func (h *Host) machine() host.MachineID {
	return host.MachineID{
		Machine: cmp.Or(h.set.host.MachineID, proc.MachineID()), Boot: proc.BootID(), PIDNamespace: proc.PIDNamespace(),
	}
}

func ownProcess() host.Process {
	id, err := proc.Identify(os.Getpid())
	if err != nil {
		return host.Process{PID: os.Getpid()}
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}

// reach gives the engine the other nodes; nil where there are none.
func (h *Host) reach() host.Peers {
	if h.node == nil {
		return nil
	}
	return rpc.NewPeers(func(ctx context.Context, id string) (grpc.ClientConnInterface, error) {
		return h.registry.Dial(ctx, id)
	})
}

// ownerOf says where clients reach the owner of a session that isn't this node's; nil
// for a host by itself.
func (h *Host) ownerOf() func(host.SessionID) string {
	if h.node == nil {
		return nil
	}
	return func(id host.SessionID) string {
		owner, _, err := h.registry.Owner(context.Background(), id) // from memory
		if err != nil || owner.Node == h.registry.ID() {
			return ""
		}
		return h.registry.API(owner.Node)
	}
}

// forsakeStrangers ends the survivors that no session of this node has its home on.
// They are frozen since the last lease ended, perhaps amidst a call of a session that
// is another node's by now: the new lease would let them go on. A node that doesn't
// know its sessions yet ends all that are frozen.
func (h *Host) forsakeStrangers(ctx context.Context) error {
	if !h.Quorum() {
		h.forsakeFrozen()
		return nil
	}
	sessions, err := h.registry.Sessions(ctx)
	if err != nil {
		return err
	}
	ours := homesOf(h.registry.ID(), sessions, h.registry.Left, h.registry.Lived)
	for _, s := range h.launcher.Survivors() {
		if !ours[s.Worker] {
			h.logger.Info("a worker of the last host is ended: no session of this node lives there", "worker", s.Worker)
			h.launcher.Forsake(s.Worker)
		} else if s.Frozen {
			h.node.frozen = append(h.node.frozen, s.Worker)
		}
	}
	return nil
}

// homesOf are the workers that a node's sessions live on, or lived on when its last start
// was lost: the engine binds them there again. One that a session lived on which is
// another's by now is none: it may be amidst a call of that one.
func homesOf(node string, sessions []host.Session, left, lived func(host.SessionID) host.Left) map[host.WorkerID]bool {
	ours, lost := map[host.WorkerID]bool{}, map[host.WorkerID]bool{"": true} // that is no worker
	for _, s := range sessions {
		switch {
		case s.Owner.Node != node:
			lost[lived(s.ID).Home] = true
		case s.Home != "":
			ours[s.Home] = true
		default:
			ours[left(s.ID).Home] = true
		}
	}
	maps.DeleteFunc(ours, func(w host.WorkerID, _ bool) bool { return lost[w] })
	return ours
}

// serveNode passes the lease on and answers other nodes, from the engine's start until
// ctx ends.
func (h *Host) serveNode(ctx context.Context) {
	if h.node == nil {
		return
	}
	select {
	case <-h.engine.Seated():
	case <-ctx.Done():
		return
	}
	h.node.peers.Bind(h.engine)
	if !h.Quorum() {
		select {
		case <-h.registry.Ready():
			h.logger.Warn("there's a majority of the nodes: this one serves sessions again")
		case <-ctx.Done():
			return
		}
	}
	h.settleDoubts(ctx)
	h.node.tenure.run(ctx)
}

// depart has others take over what this node owns, for at most shutdown_timeout. What
// they have no room for stays, and moves when this node's lease is given back.
func (h *Host) depart(ctx context.Context) {
	if h.node == nil || h.Heir() != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.set.host.ShutdownTimeout)
	defer cancel()
	h.registry.SetDraining(true)
	moved, left, err := h.engine.HandOver(ctx)
	switch {
	case err != nil && ctx.Err() == nil && left > 0:
		h.logger.Warn("not every session could be handed over", "moved", moved, "left", left, "error", err)
	default:
		h.logger.Info("sessions were handed over", "moved", moved, "left", left)
	}
}

// pausing tells the other nodes that the process that takes over is this node again.
func (h *Host) pausing(ctx context.Context) error {
	if h.node == nil {
		return nil
	}
	p, ok := any(h.registry).(interface {
		Pause(ctx context.Context, within time.Duration) error
	})
	if !ok {
		return nil
	}
	return p.Pause(ctx, h.set.host.UpgradeWait+heirGrace)
}

// Cluster is this host's part of its cluster; nil for a host by itself.
func (h *Host) Cluster() *cluster.Node {
	if h.node == nil {
		return nil
	}
	return h.registry
}

// Left reports whether this host's node has left its cluster, or is about to: then the
// host ends by itself.
func (h *Host) Left() bool { return h.leaving.Load() }

// ClusterAddress is where other nodes and clients reach this host; empty for a host by
// itself.
func (h *Host) ClusterAddress() string {
	if h.node == nil {
		return ""
	}
	return h.node.link.Addr()
}

// Leave ends this host's membership in its cluster for good, and the host with it: its
// sessions go to other nodes, its running calls end, and another one leads. ctx bounds
// the leaving; what is left then ends as by Shutdown. Errors: conflict for the last
// member, and for a host by itself; no_quorum while no majority answers: then nothing has
// changed; those of a write: then it's still a member.
func (h *Host) Leave(ctx context.Context) error {
	if h.node == nil {
		return errdefs.New(errdefs.Conflict, "this host is no node of a cluster")
	}
	if len(h.registry.Addresses()) < 2 {
		return errdefs.New(errdefs.Conflict, "the last member of a cluster can't leave it")
	}
	if err := h.mayLeave(ctx); err != nil {
		return err
	}
	h.leaving.Store(true)
	return h.Shutdown(ctx)
}

// mayLeave refuses to begin what couldn't be ended: without a majority nobody can be
// told that this node leaves, and it would stop for nothing.
func (h *Host) mayLeave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	err := h.registry.Consistent(ctx)
	if err == nil {
		return nil
	}
	e := errdefs.Wrap(errdefs.NoQuorum, err, "no majority hears that this node leaves; it's a member, and goes on")
	e.Hint = "`snakepit cluster status` says which nodes don't answer, and what to do"
	return e
}

// resign ends the membership, where that's wanted, once nothing of the engine runs.
func (h *Host) resign(ctx context.Context) error {
	if !h.leaving.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resignWait)
	defer cancel()
	err := h.registry.Leave(ctx)
	h.node.resigned <- err // it has room
	if err != nil && errors.Is(err, errdefs.ErrFenced) {
		return nil // it was removed meanwhile
	}
	return err
}
