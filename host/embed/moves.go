package embed

import (
	"context"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Rebalance says what Host.Rebalance is to even out, and who is told.
type Rebalance = rpc.Rebalance

// MoveSession moves a session of any node to the one of an id, with its state and what
// its adapter saves, once its running calls have ended, and says which node had it: that
// same one where there was nothing to move. ctx bounds how long it may take. Errors:
// conflict for a host that is no node; those of rpc.Mover.MoveSession.
func (h *Host) MoveSession(ctx context.Context, id host.SessionID, node string) (from string, err error) {
	m, err := h.mover()
	if err != nil {
		return "", err
	}
	return m.MoveSession(ctx, id, node)
}

// Rebalance moves sessions until, in each pool, no node that is up has more than one
// above another. A move that fails stops no other, and isn't an error. When ctx ends no
// further one is begun. Errors: conflict for a host that is no node; those of
// rpc.Mover.Rebalance.
func (h *Host) Rebalance(ctx context.Context, r Rebalance) error {
	m, err := h.mover()
	if err != nil {
		return err
	}
	return m.Rebalance(ctx, r)
}

func (h *Host) mover() (rpc.Mover, error) {
	if h.node == nil {
		return rpc.Mover{}, errdefs.New(errdefs.Conflict, "this host is no node of a cluster")
	}
	return rpc.Mover{Engine: h.engine, View: nodeView{h}}, nil
}
