package cluster

import (
	"context"

	"github.com/snakepit-go/snakepit/host"
)

// Owner implements host.OwnerRegistry. It's read from memory.
func (n *Node) Owner(ctx context.Context, id host.SessionID) (owner Owner, epoch uint64, err error) {
	if err := n.check(ctx); err != nil {
		return Owner{}, 0, err
	}
	row, missing := n.machine.session(id)
	if missing != nil {
		return Owner{}, 0, missing
	}
	if n.mesh == nil {
		return Owner{}, row.Epoch, nil
	}
	return row.Owner, row.Epoch, nil
}

// SetDraining says whether this node is to get no new sessions; it keeps those that
// it has. Others know with its next renewal.
func (n *Node) SetDraining(on bool) {
	if n.mesh != nil {
		n.mesh.draining.Store(on)
	}
}

// MoveSession implements host.OwnerRegistry. The move is on disk when it returns.
func (n *Node) MoveSession(ctx context.Context, id host.SessionID, from uint64, to Owner) (host.Session, error) {
	if err := validateSession(host.Session{ID: id}); err != nil {
		return host.Session{}, err
	}
	o, err := n.propose(ctx, moveSession(id, from, to))
	if err != nil {
		return host.Session{}, err
	}
	return n.copied(o.session), nil
}

// OwnerChange says that this node has begun to own a session, or doesn't any more.
type OwnerChange = host.OwnerChange

// tellOwners tells the host of every session that this node begins or ceases to own.
func (m *mesh) tellOwners(ctx context.Context) {
	for {
		select {
		case <-m.watch.wake:
		case <-ctx.Done():
			return
		}
		touched, all := m.watch.take()
		if m.n.cfg.OnOwner == nil {
			continue
		}
		if all {
			touched = m.n.machine.ids()
		}
		for id := range touched {
			m.n.cfg.OnOwner(m.ownerChange(id))
		}
	}
}

func (m *mesh) ownerChange(id host.SessionID) OwnerChange {
	row, missing := m.n.machine.session(id)
	if missing != nil {
		return OwnerChange{Session: host.Session{ID: id}}
	}
	self := m.n.machine.member(m.n.ID())
	mine := self != nil && self.Nonce == m.nonce && row.Owner == (Owner{Node: self.ID, Incarnation: self.Incarnation})
	return OwnerChange{Session: m.n.copied(row), Owner: row.Owner, Mine: mine}
}

func (m *machine) ids() map[host.SessionID]struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make(map[host.SessionID]struct{}, len(m.state.sessions))
	for id := range m.state.sessions {
		all[id] = struct{}{}
	}
	return all
}

// ExpireSession implements host.ExpiryRegistry: the session is ended only while it has
// the epoch under which its time has run out.
func (n *Node) ExpireSession(ctx context.Context, id host.SessionID, epoch uint64) error {
	if err := validateSession(host.Session{ID: id}); err != nil {
		return err
	}
	_, err := n.propose(ctx, forgetFrom(id, true, epoch))
	return err
}
