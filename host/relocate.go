package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// relocateWait is for how long it's looked again for the owner of a session that is to
// be moved, and that has just got another one; and for what a majority knows.
const relocateWait = 2 * time.Second

// NodeRoom is what a node that may get sessions says of itself.
type NodeRoom struct {
	Owner

	Pools map[string]uint32 // for how many more sessions each of its pools has room, as Room has it
}

// MoveSession has the owner of a session, whichever node that is, hand it over to
// another one, as HandOverSession does, and says who had it: that one itself where there
// was nothing to move. ctx bounds how long the session's running calls may take to end.
//
// Errors: no_quorum; session_not_found; session_expired; conflict for a session that never
// leaves its node; pool_not_found and session_quota when the other node can't have it;
// host_unreachable when its owner, or the other one, isn't reached; unimplemented for a
// host by itself; those of HandOverSession.
func (h *Host) MoveSession(ctx context.Context, id SessionID, to NodeRoom) (from Owner, err error) {
	if from, err = h.moveSession(ctx, id, to); err != nil {
		return from, h.atSession(err, id)
	}
	return from, nil
}

// SessionOwner says who owns a session, once this node knows what was acknowledged
// anywhere; the zero Owner on a host by itself. Errors: no_quorum; session_not_found;
// session_expired.
func (h *Host) SessionOwner(ctx context.Context, id SessionID) (Owner, error) {
	if err := h.current(ctx); err != nil {
		return Owner{}, err
	}
	record, err := h.cfg.Registry.Session(ctx, id)
	return record.Owner, err
}

func (h *Host) moveSession(ctx context.Context, id SessionID, to NodeRoom) (from Owner, err error) {
	if h.routes == nil {
		return Owner{}, alone()
	}
	if err := validateSessionID(id); err != nil {
		return Owner{}, err
	}
	if err := h.current(ctx); err != nil {
		return Owner{}, err
	}
	record, err := h.cfg.Registry.Session(ctx, id)
	if err != nil {
		return Owner{}, err
	}
	if record.Owner.Node != to.Node {
		if err := to.takes(record); err != nil {
			return record.Owner, err
		}
	}
	return h.routes.relocate(ctx, id, to.Owner)
}

// current waits until this node knows what was acknowledged anywhere. What is done by
// hand is seldom, and its sessions may have been opened elsewhere just before.
func (h *Host) current(ctx context.Context) error {
	r, ok := h.cfg.Registry.(CurrentRegistry)
	if !ok {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, relocateWait)
	defer cancel()
	err := r.Consistent(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return errdefs.Wrap(errdefs.NoQuorum, err, "nobody says what a majority of the nodes knows")
	}
	return err
}

func alone() error {
	return errdefs.New(errdefs.Unimplemented, "this host is alone")
}

// takes fails unless a node may get a session.
func (n NodeRoom) takes(s Session) error {
	room, has := n.Pools[s.Pool]
	switch {
	case s.local():
		return neverLeaves()
	case !has:
		return errdefs.New(errdefs.PoolNotFound, "node %q has no pool %s", n.Node, names.Cut(s.Pool))
	case room == 0:
		e := errdefs.New(errdefs.SessionQuota, "node %q has no room for a session of pool %s", n.Node, names.Cut(s.Pool))
		e.Hint = "it's full (max_sessions), or its workers don't start, or it's about to stop"
		return e
	}
	return nil
}

func neverLeaves() error {
	e := errdefs.New(errdefs.Conflict, "the session never leaves its node")
	e.Hint = "it was opened with availability local"
	return e
}

// relocate asks the owner, and once more when that's another one by now.
func (r *routes) relocate(ctx context.Context, id SessionID, to Owner) (from Owner, err error) {
	for until := time.Now().Add(relocateWait); ; {
		from, err = r.tryRelocate(ctx, id, to)
		if errdefs.ReasonOf(err) != errdefs.SessionMoved || errdefs.MayHaveRun(err) || time.Now().After(until) {
			return from, err
		}
		if !sleep(ctx, lookMost) {
			return from, ended(ctx, "while the session to move had no owner")
		}
	}
}

func (r *routes) tryRelocate(ctx context.Context, id SessionID, to Owner) (from Owner, err error) {
	from, _, err = r.owner(ctx, id)
	if err == nil && from == (Owner{}) { // it's from the time when there was one node
		from, _ = r.owners.Self()
	}
	switch {
	case err != nil, from.Node == to.Node:
		return from, err
	case r.whoseIs(ctx, id, from) == theirs:
		err = r.peers.MoveSession(ctx, from.Node, id, to)
		return from, located(err, from.Node)
	}
	return from, r.host.HandOverSession(ctx, id, to)
}
