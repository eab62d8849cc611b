package embed

import (
	"context"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// leaveLook is how often somebody who watches a node leave is told how far it is.
const leaveLook = 500 * time.Millisecond

// roomWait is how long a node that leaves waits for others to have room.
const roomWait = 3 * time.Second

// nodeAdmin changes who is a member, for the API.
type nodeAdmin struct{ h *Host }

var _ rpc.ClusterAdmin = nodeAdmin{}

// NewToken implements rpc.ClusterAdmin. The registry has the secret's hash alone.
func (a nodeAdmin) NewToken(ctx context.Context, uses int, label string) (string, error) {
	t := a.h.node.link.NewToken()
	if err := a.h.registry.AddToken(ctx, cluster.Token{Hash: t.SecretHash(), Label: label, Uses: uses}); err != nil {
		return "", err
	}
	return t.String(), nil
}

// Remove implements rpc.ClusterAdmin.
func (a nodeAdmin) Remove(ctx context.Context, node string) error {
	return a.h.registry.Remove(ctx, node)
}

// Forget implements rpc.ClusterAdmin.
func (a nodeAdmin) Forget(ctx context.Context, node string) error {
	return a.h.registry.Forget(ctx, node)
}

// Transfer implements rpc.ClusterAdmin.
func (a nodeAdmin) Transfer(ctx context.Context, node string) error {
	return a.h.registry.Transfer(ctx, node)
}

// Leave implements rpc.ClusterAdmin. Once its sessions have moved the host ends as by
// Shutdown, and answers as long as it takes to say so: the membership goes when
// nothing of the engine runs any more, so that no process is left in the registry.
func (a nodeAdmin) Leave(ctx context.Context, force bool, step func(rpc.LeaveStep)) error {
	h := a.h
	if len(h.registry.Overview().Members) < 2 {
		return errdefs.New(errdefs.Conflict, "the last member of a cluster can't leave it")
	}
	if h.upgrading.Load() {
		return errdefs.New(errdefs.Conflict, "another process is about to take this node over: ask that one")
	}
	if err := h.mayLeave(ctx); err != nil {
		return err
	}
	if !h.leaving.CompareAndSwap(false, true) {
		return errdefs.New(errdefs.Conflict, "this node is leaving already")
	}
	h.registry.SetDraining(true)
	step(rpc.LeaveStep{Step: rpc.LeaveDraining, Sessions: a.owned()})
	left, err := a.handOver(ctx, step)
	if left > 0 && !force {
		h.registry.SetDraining(false)
		h.leaving.Store(false)
		return stays(left, err)
	}
	step(rpc.LeaveStep{Step: rpc.LeaveLeaving, Sessions: a.owned()})
	h.quitOnce.Do(func() { close(h.quit) })
	if err := <-h.node.resigned; err != nil {
		return err
	}
	step(rpc.LeaveStep{Step: rpc.LeaveLeft})
	return nil
}

// handOver moves all sessions, and tells meanwhile how many are left.
func (a nodeAdmin) handOver(ctx context.Context, step func(rpc.LeaveStep)) (left int, err error) {
	over := make(chan struct{})
	var moving sync.WaitGroup
	moving.Go(func() {
		defer close(over)
		left, err = a.handOverPatiently(ctx)
	})
	defer moving.Wait()
	every := time.NewTicker(leaveLook)
	defer every.Stop()
	for {
		step(rpc.LeaveStep{Step: rpc.LeaveMoving, Sessions: a.owned()})
		select {
		case <-over:
			return left, err
		case <-every.C:
		}
	}
}

// handOverPatiently tries again for a while: a leader that is new doesn't know yet who
// has room.
func (a nodeAdmin) handOverPatiently(ctx context.Context) (left int, err error) {
	for end := time.Now().Add(roomWait); ; {
		if _, left, err = a.h.engine.HandOver(ctx); left == 0 || time.Now().After(end) {
			return left, err
		}
		select {
		case <-time.After(leaveLook / 2):
		case <-ctx.Done():
			return left, err
		}
	}
}

// owned is how many sessions this node has.
func (a nodeAdmin) owned() uint64 {
	o := a.h.registry.Overview()
	for _, m := range o.Members {
		if m.ID == o.ID {
			return m.Sessions
		}
	}
	return 0
}

// stays says why a node doesn't leave.
func stays(left int, cause error) error {
	e := errdefs.New(errdefs.Conflict, "no other node has room for %d of its sessions", left)
	if cause != nil {
		e = errdefs.Wrap(errdefs.Conflict, cause, "%d of its sessions can't be moved", left)
	}
	e.Hint = "add workers or nodes, or end those sessions; --force leaves without moving them: they wait for room, with their replicated state alone"
	return e
}
