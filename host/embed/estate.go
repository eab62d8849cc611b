package embed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// movesWait bounds how long the moves of a dead node's sessions are waited for:
	// whose all of them are decides which of its workers go on.
	movesWait = 300 * time.Millisecond
	// movesPause is how often they are looked at.
	movesPause = 10 * time.Millisecond
)

// estates is what the registry knows of the nodes on this machine, and of what they had.
type estates interface {
	ID() string
	Self() (self host.Owner, holds bool)
	Members() []cluster.Member
	Unverified(on host.MachineID) []host.ProcessRecord
	Moved(from host.Owner) []cluster.MovedSession
}

// adopter takes over the workers that a dead host's shim keeps.
type adopter interface {
	Adopt(ctx context.Context, e plugin.Estate, keep func(host.WorkerID) bool) ([]host.Survivor, error)
}

// errElsewhere says that an owner was on another machine: what it left isn't ours to see.
var errElsewhere = errors.New("it was on another machine")

// adopt is host.Config.Adopt.
func (n *neighbours) adopt(ctx context.Context, from host.Owner) []host.Survivor {
	log := n.log.With("node", from.Node)
	left, err := n.estate(from)
	switch {
	case errors.Is(err, errElsewhere):
		log.Debug("no worker of a lost node is taken over", "why", err)
		return nil
	case err != nil:
		log.Info("no worker of a lost node is taken over", "why", err)
		return nil
	}
	n.awaitMoves(ctx, from)
	ours := n.wholly(from)
	if len(ours) == 0 {
		log.Info("no worker of a lost node is taken over", "why", "none has sessions that are all this node's")
		return nil
	}
	all, err := n.launcher.Adopt(ctx, left, func(w host.WorkerID) bool { return ours[w] })
	if err != nil {
		log.Warn("the workers of a dead node can't be taken over", "error", err)
		return nil
	}
	if len(all) == 0 {
		log.Info("no worker of a lost node is taken over", "why", "none could go on")
		return nil
	}
	log.Info("workers of a dead node on this machine go on here, with what they remember", "workers", len(all))
	return all
}

// estate finds what an owner has left on this machine for others to take over. The
// error says why there's nothing.
func (n *neighbours) estate(from host.Owner) (plugin.Estate, error) {
	row, err := n.deceased(from)
	if err != nil {
		return plugin.Estate{}, err
	}
	for _, base := range n.bases {
		for _, dir := range foldersOf(base, row.Process.PID) {
			held, state := claim(dir)
			_ = held.release() // only looked at
			if instance := instanceOf(dir); state == Waiting && n.worksFor(instance, from) {
				return plugin.Estate{Dir: dir, Instance: instance}, nil
			}
		}
	}
	return plugin.Estate{}, errors.New("nobody keeps its workers any more")
}

// deceased finds the row of an owner that was on this machine and is gone, together with
// its process.
func (n *neighbours) deceased(from host.Owner) (cluster.Member, error) {
	for _, m := range n.registry.Members() {
		if m.ID != from.Node {
			continue
		}
		switch {
		case m.ID == n.registry.ID() || m.Incarnation != from.Incarnation:
			return m, errors.New("it has been started again")
		case !m.Machine.Same(n.machine):
			return m, errElsewhere
		case m.Status != cluster.StatusDown && m.Status != cluster.StatusLeft:
			return m, fmt.Errorf("it is %s", m.Status)
		case !proc.Gone(identityOf(m.Process)):
			return m, fmt.Errorf("its process %d lives", m.Process.PID)
		}
		return m, nil
	}
	return cluster.Member{}, errors.New("the registry doesn't know it")
}

// worksFor reports whether a process of an instance is one that the registry has as a
// worker of an owner: a run folder's lock names a pid alone.
func (n *neighbours) worksFor(instance string, of host.Owner) bool {
	recorded := map[host.Process]bool{}
	for _, p := range n.registry.Unverified(n.machine) {
		if p.Owner == of {
			recorded[p.Process] = true
		}
	}
	for _, o := range plugin.Kept(instance) {
		if recorded[host.Process{PID: o.PID, StartTime: o.Start}] {
			return true
		}
	}
	return false
}

// awaitMoves returns once a lost owner owns nothing any more, or has kept it for long:
// a session may wait for its node, or have no room elsewhere.
func (n *neighbours) awaitMoves(ctx context.Context, from host.Owner) {
	ctx, cancel := context.WithTimeout(ctx, movesWait)
	defer cancel()
	look := time.NewTicker(movesPause)
	defer look.Stop()
	for n.ownsSome(from) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *neighbours) ownsSome(from host.Owner) bool {
	for _, s := range n.registry.Moved(from) {
		if s.Owner == from {
			return true
		}
	}
	return false
}

// wholly are the workers of a lost owner that have sessions, all of which are this node's
// by now.
func (n *neighbours) wholly(from host.Owner) map[host.WorkerID]bool {
	self, _ := n.registry.Self()
	all, lost := map[host.WorkerID]bool{}, map[host.WorkerID]bool{"": true} // that is no worker
	for _, s := range n.registry.Moved(from) {
		if s.Owner == self && self.Node != "" {
			all[s.Home] = true
			continue
		}
		lost[s.Home] = true
	}
	maps.DeleteFunc(all, func(w host.WorkerID, _ bool) bool { return lost[w] })
	return all
}

func identityOf(p host.Process) proc.ID { return proc.ID{PID: p.PID, Start: p.StartTime} }
