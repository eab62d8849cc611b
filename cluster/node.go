package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// closeWait is how long Close may spend on a last snapshot.
const closeWait = 5 * time.Second

// Node is this host's part of the cluster, or all of it. It implements
// host.Registry, and with it host.ProcessRegistry, host.OwnerRegistry,
// host.StateRegistry and host.ToolRegistry.
type Node struct {
	cfg      Config
	timing   timing
	log      hclog.Logger
	disk     *disk
	id       string
	machine  *machine
	proposer *proposer
	raft     *raft.Raft
	trans    transport
	mesh     *mesh  // nil: no other node can reach this one
	began    uint64 // how many entries were applied before Open returned

	telling sync.WaitGroup // the host, of overrides
	ready   chan struct{}  // closed when the node has caught up
	once    sync.Once
	ending  chan struct{} // closed when the node is to end
	cause   error         // why; written before ending is closed
	done    chan struct{} // closed when nothing of it is left
}

var (
	_ host.Registry        = (*Node)(nil)
	_ host.ProcessRegistry = (*Node)(nil)
	_ host.OwnerRegistry   = (*Node)(nil)
	_ host.StateRegistry   = (*Node)(nil)
	_ host.ToolRegistry    = (*Node)(nil)
)

// Open opens the registry in a directory, or makes one there, and returns once it
// has caught up: what was acknowledged before is there, and writes are taken. It
// blocks until then; ctx bounds that. The node lives until [Node.Close], or until
// it can't go on: see [Node.Done].
//
// A damaged file is set aside, and [Node.SetAside] and the log say which: then the
// registry has what its newest good snapshot holds, or nothing, and all its epochs
// are greater than any before.
//
// With Config.Background a node of several doesn't wait: see [Node.Ready].
//
// Errors: invalid_config for a directory that can't be used; conflict when another
// process uses it; disk_full; version_mismatch when a newer program wrote it;
// deadline and cancelled; internal.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger.Named("cluster")
	pace, err := timingOf(cfg.Timing)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, timing: pace, log: log, ready: make(chan struct{}), ending: make(chan struct{}), done: make(chan struct{})}
	n.machine = newMachine(n.fail)
	n.machine.knows = cfg.MaxRules
	overridden := make(chan struct{}, 1)
	n.machine.state.overridden = overridden
	n.proposer = newProposer(n.apply, n.ended)
	n.proposer.hold = n.timing.of(holdWait)
	if n.disk, err = n.openDisk(); err != nil {
		n.cfg.Transport.close()
		return nil, openError(cfg.Dir, err)
	}
	n.id = n.disk.identity.ID
	n.disk.patience = newPatience(n.disk.logs, log, pace.of(diskWait))
	if cfg.Transport != nil {
		n.mesh = newMesh(n)
	}
	if err := n.startRaft(); err != nil {
		if n.trans != nil {
			_ = n.trans.Close() // Raft's own, which it leaves open
		}
		n.cfg.Transport.close()
		return nil, openError(cfg.Dir, firstOf(n.failure(), err, n.disk.close()))
	}
	var proposing, catching, running sync.WaitGroup
	if n.mesh != nil {
		n.mesh.start() //nolint:contextcheck // it lives until Close
	}
	if cfg.OnOverrides != nil {
		n.telling.Go(func() { n.tellOverrides(n.ready, overridden) })
	}
	proposing.Go(func() { n.proposer.run(n.ending) })
	later := cfg.Background && n.mesh != nil && !n.sole()
	if later {
		catching.Go(n.catchUpLater)
	}
	running.Go(func() { n.run(&proposing, &catching) }) //nolint:contextcheck // it lives until Close, and Done waits for it
	if later {
		return n, nil
	}
	if err := n.catchUp(ctx); err != nil {
		n.fail(err)
		<-n.done
		return nil, openError(cfg.Dir, n.cause)
	}
	n.caught()
	return n, nil
}

func (n *Node) openDisk() (*disk, error) {
	if n.cfg.memory != nil {
		return n.cfg.memory.open(), nil
	}
	return openDisk(n.cfg.Dir, n.log, n.fail)
}

// ID is the node's name among all nodes. It stays the same for as long as the
// directory's files do.
func (n *Node) ID() string { return n.id }

// SetAside says which damaged files Open set aside, and why, one sentence each.
func (n *Node) SetAside() []string { return slices.Clone(n.disk.aside) }

// Done is closed when the node has ended: its files are closed, its goroutines
// gone, and everything it's asked fails.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node has ended, once Done is closed: nil after Close, else
// disk_full, version_mismatch or internal. What it acknowledged is on disk.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.cause
	default:
		return nil
	}
}

// Close ends the node and returns once Done is closed, with Err. Writes under way
// are finished first. It may be called any number of times.
func (n *Node) Close() error {
	n.fail(nil)
	<-n.done
	return n.cause
}

// fail ends the node, for the first reason given. It doesn't block.
func (n *Node) fail(cause error) {
	n.once.Do(func() {
		n.cause = cause
		close(n.ending)
	})
}

// failure is why the node ends; nil while it doesn't, and after Close.
func (n *Node) failure() error {
	select {
	case <-n.ending:
		return n.cause
	default:
		return nil
	}
}

// ended is what a caller gets when it's too late.
func (n *Node) ended() error {
	if err := n.failure(); err != nil {
		return err
	}
	return errdefs.New(errdefs.NoQuorum, "the registry is closed")
}

// run waits for the end, whoever wants it, and carries it out. The proposer ends
// before Raft does: Raft may leave an entry unanswered that is under way then.
func (n *Node) run(proposing, catching *sync.WaitGroup) {
	<-n.ending
	catching.Wait()
	if n.cause != nil && errdefs.ReasonOf(n.cause) != errdefs.Cancelled { // whoever gave up an Open has it from there
		n.log.Error("the registry ends", "error", n.cause)
	}
	if n.mesh != nil && n.cause == nil {
		n.mesh.retire()
	}
	n.telling.Wait()
	proposing.Wait()
	if n.mesh != nil {
		n.mesh.hush()
	}
	var last sync.WaitGroup
	if n.cause == nil && n.proposer.applied.Load() > n.began {
		n.lastSnapshot(&last)
	}
	if err := n.raft.Shutdown().Error(); err != nil {
		n.log.Warn("raft ended badly", "error", err)
	}
	last.Wait()
	if n.mesh != nil {
		n.mesh.stop()
	}
	if err := n.trans.Close(); err != nil {
		n.log.Warn("raft's transport ended badly", "error", err)
	}
	if err := n.disk.close(); err != nil {
		n.log.Warn("the registry's log could not be closed", "error", err)
	}
	close(n.done)
}

// check fails when the node has ended, or ctx has, or before it has caught up.
func (n *Node) check(ctx context.Context) error {
	select {
	case <-n.ending:
		return n.ended()
	default:
	}
	if ctx.Err() != nil {
		return gaveUp(ctx, false)
	}
	return n.isReady()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
