package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// enqueueWait is how long Raft may take to accept an entry; after it the proposer
// looks whether the node has ended meanwhile.
const enqueueWait = 100 * time.Millisecond

func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.ID())
	c.HeartbeatTimeout = n.timing.of(heartbeat)
	c.ElectionTimeout = n.timing.of(heartbeat)
	c.LeaderLeaseTimeout = n.timing.of(leaderLease)
	c.CommitTimeout = 25 * time.Millisecond
	c.SnapshotInterval = 30 * time.Second
	c.SnapshotThreshold = 512
	c.TrailingLogs = 8192
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.Logger = quiet(n.log)
	return c
}

// startRaft starts Raft, with itself as the only voter where there is nothing yet.
// It runs on a goroutine of its own, which the store may end: see store.must.
func (n *Node) startRaft() error {
	err := errors.New("raft ended at its start")
	var starting sync.WaitGroup
	starting.Go(func() { err = boltfile.Guard(n.newRaft) })
	starting.Wait()
	return err
}

// transport is what carries Raft's messages.
type transport interface {
	raft.Transport
	raft.WithClose
}

// openTransport gives Raft a way to others, or to none.
func (n *Node) openTransport() raft.ServerAddress {
	if n.mesh == nil {
		address, alone := raft.NewInmemTransport(raft.ServerAddress(n.ID()))
		alone.Connect(address, alone)
		n.trans = alone
		return address
	}
	n.trans = newBorder(n.raftTransport(n.mesh.book), n.mesh.cluster, n.disk.patience.hangs)
	return n.trans.LocalAddr()
}

func (n *Node) newRaft() error {
	address := n.openTransport()
	cfg, s := n.raftConfig(), n.disk.patience
	existing, err := raft.HasExistingState(s, s, n.disk.snapshots)
	if err != nil {
		return err
	}
	if !existing && n.cfg.Join == nil {
		alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: cfg.LocalID, Address: address}}}
		if err := raft.BootstrapCluster(cfg, s, s, n.disk.snapshots, n.trans, alone); err != nil {
			return err
		}
	}
	moved := map[string]string{}
	if n.mesh != nil {
		moved = n.disk.moved()
	}
	n.raft, err = raft.NewRaft(cfg, n.machine, s, s, n.disk.snapshots, n.trans)
	if b, ok := n.trans.(*border); ok {
		b.raft.Store(n.raft)
	}
	for id, address := range moved { // which the book compares with what the snapshot had
		n.mesh.book.note(id, address)
	}
	return err
}

// catchUp makes this node the leader and waits until it has applied its whole log,
// which it has when it has applied an entry of this term.
func (n *Node) catchUp(ctx context.Context) error {
	if n.mesh != nil {
		return n.mesh.catchUp(ctx)
	}
	if err := n.checkMembers(); err != nil {
		return err
	}
	n.callElection()
	select {
	case <-n.raft.LeaderCh():
	case <-n.ending:
		return n.ended()
	case <-ctx.Done():
		return gaveUp(ctx, false)
	}
	if _, err := n.proposer.propose(ctx, raiseGeneration(n.disk.identity.Generation)); err != nil {
		return err
	}
	if err := n.raiseLevel(ctx, n.raft.CurrentTerm()); err != nil {
		return err
	}
	return n.disk.noteGeneration(n.machine.generation())
}

// checkMembers makes sure that the log is this node's own, and nobody else's.
func (n *Node) checkMembers() error {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return err
	}
	servers := future.Configuration().Servers
	if len(servers) == 1 && servers[0].ID == raft.ServerID(n.ID()) {
		return nil
	}
	e := errdefs.New(errdefs.WrongCluster, "the registry in %s isn't that of node %s alone: %+v", n.cfg.Dir, n.ID(), servers)
	e.Hint = identityFile + " and " + logFile + " belong together"
	return e
}

// callElection has Raft stand for election now: a sole voter needn't wait for
// anybody's heartbeat. Should it come to nothing, Raft does so by itself later.
func (n *Node) callElection() {
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.ID()), Addr: []byte(n.trans.LocalAddr()),
	}}
	err := n.trans.TimeoutNow(raft.ServerID(n.ID()), n.trans.LocalAddr(), request, &raft.TimeoutNowResponse{})
	if err != nil {
		n.log.Debug("the election takes its time", "error", err)
	}
}

// apply proposes an entry and blocks until it's applied, or won't be.
func (n *Node) apply(data []byte) ([]outcome, uint64, error) {
	if n.mesh != nil {
		return n.mesh.applyAnywhere(data)
	}
	return n.applyHere(data)
}

// applyHere needs this node to lead.
func (n *Node) applyHere(data []byte) ([]outcome, uint64, error) {
	future := n.raft.Apply(data, enqueueWait)
	if err := future.Error(); err != nil {
		return nil, 0, err
	}
	switch response := future.Response().(type) {
	case []outcome:
		return response, future.Index(), nil
	case error:
		return nil, 0, response
	}
	return nil, 0, fmt.Errorf("raft answered with a %T", future.Response())
}

// lastSnapshot keeps the registry in a second file, for a start that finds the
// first one damaged, and shortens what that start has to read. When it takes too
// long, Raft's end ends it, and last is for those who wait for that.
func (n *Node) lastSnapshot(last *sync.WaitGroup) {
	taken := make(chan struct{})
	last.Go(func() {
		defer close(taken)
		if err := n.raft.Snapshot().Error(); err != nil {
			n.log.Warn("no snapshot at the end", "error", err)
		}
	})
	select {
	case <-taken:
	case <-time.After(closeWait):
	}
}
