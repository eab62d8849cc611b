package host

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

const (
	handOverBatch = 256 // sessions for which room is asked at once
	handOverLimit = 16  // that move at once
	// handOverRounds is how often it's looked for sessions that came meanwhile.
	handOverRounds = 3
)

// HandOver gives every session that this node owns, but for those that never leave it, to another one that has room for
// it: once its running calls have ended, and with what its worker saves of it. Calls
// that wait for their turn get session_moved. It returns how many sessions have moved
// and how many stay, for want of room or of a quorum; err says why. It's bounded by ctx
// alone, and what's under way when ctx ends is brought to its end all the same.
func (h *Host) HandOver(ctx context.Context) (moved, left int, err error) {
	if h.routes == nil {
		return 0, 0, nil
	}
	tried := map[SessionID]bool{}
	for range handOverRounds {
		pools, err := h.handsOver(ctx, tried)
		if err != nil {
			return moved, left, err
		}
		if len(pools) == 0 {
			break
		}
		n, l, failed := h.handOverPools(ctx, pools)
		moved, left = moved+n, left+l
		err = failed
		if err != nil || ctx.Err() != nil {
			return moved, left, err
		}
	}
	return moved, left, nil
}

// handsOver lists the sessions of this node that weren't tried before, by pool.
func (h *Host) handsOver(ctx context.Context, tried map[SessionID]bool) (map[string][]SessionID, error) {
	records, err := h.cfg.Registry.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	pools := map[string][]SessionID{}
	for _, r := range records {
		if !tried[r.ID] && !r.local() && h.sessions.own(r) == nil {
			tried[r.ID] = true
			pools[r.Pool] = append(pools[r.Pool], r.ID)
		}
	}
	return pools, nil
}

func (h *Host) handOverPools(ctx context.Context, pools map[string][]SessionID) (moved, left int, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex // guards the results
	slots := make(chan struct{}, handOverLimit)
	for name, ids := range pools {
		all.Go(func() {
			n, failed := h.handOverPool(ctx, name, ids, slots)
			mu.Lock()
			defer mu.Unlock()
			moved, left = moved+n, left+len(ids)-n
			err = errors.Join(err, failed)
		})
	}
	all.Wait()
	return moved, left, err
}

// handOverPool moves the sessions of a pool, a batch after the other.
func (h *Host) handOverPool(ctx context.Context, pool string, ids []SessionID, slots chan struct{}) (moved int, err error) {
	for len(ids) > 0 {
		batch := ids[:min(len(ids), handOverBatch)]
		ids = ids[len(batch):]
		places, err := h.routes.owners.Place(ctx, pool, len(batch))
		if err != nil {
			return moved, err
		}
		n, err := h.handOverBatch(ctx, batch[:min(len(batch), len(places))], places, slots)
		moved += n
		if err != nil {
			return moved, err
		}
		if len(places) < len(batch) {
			return moved, noRoom(pool, len(ids)+len(batch)-len(places))
		}
	}
	return moved, nil
}

func noRoom(pool string, sessions int) error {
	return errdefs.New(errdefs.SessionQuota, "no other node has room for %d sessions of pool %s", sessions, names.Cut(pool))
}

func (h *Host) handOverBatch(ctx context.Context, ids []SessionID, places []Owner, slots chan struct{}) (int, error) {
	var group errgroup.Group
	var moved atomic.Int64
	for i, id := range ids {
		group.Go(func() error {
			err := h.handOver(ctx, id, places[i], slots)
			switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest are failures
			case errdefs.SessionNotFound, errdefs.SessionExpired, errdefs.SessionMoved:
				moved.Add(1) // it's none of this node's any more
				return nil
			}
			if err == nil {
				moved.Add(1)
			}
			return err
		})
	}
	err := group.Wait()
	return int(moved.Load()), err
}

// HandOverSession gives one session to another node, as HandOver does. Errors:
// session_not_found; session_expired; session_moved and fenced when this node doesn't
// own it; conflict for one that never leaves it, and where it's to stay; host_unreachable
// and those of OwnerRegistry.MoveSession.
func (h *Host) HandOverSession(ctx context.Context, id SessionID, to Owner) error {
	if h.routes == nil {
		return alone()
	}
	if self, _ := h.routes.owners.Self(); self.Node == to.Node {
		return h.atSession(errdefs.New(errdefs.Conflict, "the session is there already"), id)
	}
	return h.handOver(ctx, id, to, make(chan struct{}, 1))
}

// handOver stops a session's calls at once, and moves it when it has one of the slots.
func (h *Host) handOver(ctx context.Context, id SessionID, to Owner, slots chan struct{}) error {
	s, err := h.ownSession(ctx, id)
	if err == nil && s.state().record.local() {
		err = neverLeaves()
	}
	if err == nil {
		err = s.takeBefore(ctx)
	}
	if errors.Is(err, errStale) {
		err = sessionNotFound(id)
	}
	if err != nil {
		return h.atSession(err, id)
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done(): // run sees to that
	}
	m := &move{host: h, session: s, to: to}
	if err := m.run(ctx); err != nil {
		return h.atSession(err, id)
	}
	return nil
}

func (h *Host) atSession(err error, id SessionID) error {
	return locate(err, errdefs.Where{Node: h.cfg.Node, Session: string(id)})
}

// ownSession finds a session of this node, in use or not.
func (h *Host) ownSession(ctx context.Context, id SessionID) (*session, error) {
	if err := validateSessionID(id); err != nil {
		return nil, err
	}
	record, err := h.cfg.Registry.Session(ctx, id)
	if err == nil {
		err = h.sessions.own(record)
	}
	if err != nil {
		return nil, err
	}
	h.own(record)
	if s := h.sessions.find(id); s != nil {
		return s, nil
	}
	return nil, h.poolNotFound(record.Pool)
}
