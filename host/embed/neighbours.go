package embed

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// neighbourLook is how often a node looks after the others on its machine.
	neighbourLook = time.Second
	// releaseWait bounds the time in which the registry is told what has become of a process.
	releaseWait = 5 * time.Second
)

// neighbours are the other nodes on this host's machine. Each sees to what the others
// leave when they die: workers that can go on are taken over, whatever else carries
// their tokens and is kept by nobody is ended, and the registry hears which of their processes are
// gone. Whose host or shim lives isn't touched, and nobody on another machine. All of them may
// do so at once.
type neighbours struct {
	registry neighbourhood
	launcher adopter
	machine  host.MachineID
	bases    []string // of run folders
	log      hclog.Logger
}

// neighbourhood is a registry that also hears what has become of processes.
type neighbourhood interface {
	estates
	ReleaseProcess(ctx context.Context, worker host.WorkerID) error
}

func (h *Host) newNeighbours() *neighbours {
	return &neighbours{
		registry: h.registry, launcher: h.launcher, machine: h.machine(),
		bases: uniq(filepath.Dir(h.dirs.run), runBaseOf("")), log: h.logger.Named("neighbours"),
	}
}

// seeToNeighbours looks after the other nodes of this machine until ctx ends, once the registry
// knows which there are.
func (h *Host) seeToNeighbours(ctx context.Context) {
	if h.node == nil {
		return
	}
	select {
	case <-h.registry.Ready():
	case <-ctx.Done():
		return
	}
	h.newNeighbours().run(ctx)
}

func (n *neighbours) run(ctx context.Context) {
	every := time.NewTicker(neighbourLook)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			n.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look sees to what is there now. What has to wait is found again.
func (n *neighbours) look(ctx context.Context) {
	dead := map[string]bool{}
	for _, m := range n.registry.Members() {
		if n.isDead(m) {
			dead[m.ID] = true
			n.sweep(m)
		}
	}
	gone := map[string]int{}
	for _, p := range n.registry.Unverified(n.machine) {
		if p.Owner.Node == n.registry.ID() || !n.isGone(p, dead) {
			continue
		}
		if err := n.release(ctx, p.Worker); err != nil {
			n.log.Debug("the registry isn't told yet that a dead node's process is gone", "worker", p.Worker, "error", err)
			break // nor would it be of the others
		}
		gone[p.Owner.Node]++
	}
	for node, count := range gone {
		n.log.Info("processes of a node on this machine are gone, and not unverified any more", "node", node, "processes", count)
	}
}

// isDead reports whether another node was on this machine, and its process verifiably
// isn't any more. One that is about to come back, or came back elsewhere, isn't dead.
func (n *neighbours) isDead(m cluster.Member) bool {
	return m.ID != n.registry.ID() && (m.Status == cluster.StatusDown || m.Status == cluster.StatusLeft) &&
		m.Machine.Same(n.machine) && proc.Gone(identityOf(m.Process))
}

// sweep ends what a dead node has left and nobody keeps, and removes its run folder,
// as the next start of any host here would.
func (n *neighbours) sweep(m cluster.Member) {
	for _, base := range n.bases {
		folders := foldersOf(base, m.Process.PID)
		if len(folders) == 0 {
			continue
		}
		for _, dir := range takeAbandoned(base, func(dir string) bool { return slices.Contains(folders, dir) }) {
			orphans := plugin.Sweep(instanceOf(dir), nil, false)
			n.tell(m.ID, orphans)
			if !anyAlive(orphans) {
				_ = os.RemoveAll(dir) // the next look, or the next host, tries again
			}
		}
	}
}

// foldersOf are the run folders whose lock names a process.
func foldersOf(base string, pid int) (all []string) {
	if pid <= 0 || checkPrivate(base) != nil {
		return nil
	}
	for _, dir := range runFolders(base) {
		if holderOf(dir) == pid {
			all = append(all, dir)
		}
	}
	return all
}

// isGone reports whether a process is known to have ended. One that nobody keeps, and
// whose host is dead, is ended.
func (n *neighbours) isGone(p host.ProcessRecord, dead map[string]bool) bool {
	id := identityOf(p.Process)
	if proc.Gone(id) {
		return true
	}
	if !dead[p.Owner.Node] {
		return false // its host, or the next start of that, sees to it
	}
	n.tell(p.Owner.Node, plugin.SweepClaimed(id)) // none where a shim keeps it
	return proc.Gone(id)
}

func (n *neighbours) tell(node string, orphans []plugin.Orphan) {
	for _, o := range orphans {
		if o.Alive {
			n.log.Debug("a process that a dead node left behind can't be ended yet", "node", node, "pid", o.PID)
			continue
		}
		n.log.Warn("a process that a dead node left behind was ended", "node", node, "pid", o.PID, "command", o.Command)
	}
}

func (n *neighbours) release(ctx context.Context, worker host.WorkerID) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWait)
	defer cancel()
	return n.registry.ReleaseProcess(ctx, worker)
}
