package host

import (
	"context"
	"math"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// OwnerChanged takes note of a session that this node has begun to own, or doesn't
// any more. Calls that wait for their turn in one of those get session_moved, and
// whoever runs one is killed. It's called in order, by one goroutine, and doesn't block.
func (h *Host) OwnerChanged(c OwnerChange) {
	switch {
	case c.Mine:
		h.own(c.Session)
	case !h.sessions.mine(c.Session.ID):
		if s := h.sessions.find(c.Session.ID); s != nil && s.before(c) {
			h.sessions.drop(s, c.Owner != Owner{})
		}
	}
	h.routes.wake()
}

// mine reports whether this node owns a session, as far as the registry knows by now:
// what was said of it may be older.
func (t *sessions) mine(id SessionID) bool {
	if t.routes == nil {
		return false
	}
	owner, _, err := t.routes.owners.Owner(context.Background(), id)
	w := t.routes.whoseIs(context.Background(), id, owner)
	return err == nil && (w == ours || w == lapsed)
}

// before reports whether what's known of a session is older than a change, and it
// isn't this host that ends it.
func (s *session) before(c OwnerChange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := c.Owner == Owner{}
	return gone && !s.ending || !gone && s.record.Epoch < c.Session.Epoch
}

// own puts a session into the table, so that it expires when nobody uses it. Its time
// to live begins anew. It goes on where it lived, if that worker is, or will be, here.
func (h *Host) own(record Session) {
	p := h.pools[record.Pool]
	if p == nil {
		return
	}
	if s := h.sessions.find(record.ID); s != nil && !h.sessions.renews(s, record) {
		return
	}
	h.sessions.restore(record, p, p.member(record.Home))
}

// renews reports whether a record takes the place of what's known of a session, which
// is dropped then. A record with a home is one that this node made: whoever made it
// knows of it, or is just told.
func (t *sessions) renews(s *session, record Session) bool {
	s.mu.Lock()
	known, epoch := s.phase, s.record.Epoch
	if known == phaseNew {
		s.unknown = &record
	}
	s.mu.Unlock()
	if known == phaseNew || record.Home != "" || record.Epoch <= epoch {
		return false
	}
	t.drop(s, true)
	return true
}

// ownLate puts a session into the table that was recorded for this node by a call which
// wasn't told so, and is gone.
func (t *sessions) ownLate(s *session) {
	s.mu.Lock()
	record := s.unknown
	s.mu.Unlock()
	if record != nil && t.mine(record.ID) {
		t.host.own(*record)
	}
}

// lapsed reports whether this node has no lease, among several.
func (t *sessions) lapsed() bool {
	if t.routes == nil {
		return false
	}
	_, holds := t.routes.owners.Self()
	return !holds
}

// others reports whether an owner is another node, or an earlier start of this one.
func (t *sessions) others(owner Owner) bool {
	if t.routes == nil {
		return false
	}
	w := t.routes.whose(owner)
	return w == stale || w == theirs
}

// Disown gives up all sessions but those that never leave this node: the lease under
// which it owned them is gone for good. It returns once every worker that runs a call
// of such a session, or is pinned by one, has been sent its end.
func (h *Host) Disown() {
	h.sessions.disowned.Store(true)
	h.renounce()
	var all []*dropped
	h.sessions.byID.Range(func(_, v any) bool {
		if s, ok := v.(*session); ok && !s.state().record.local() {
			if d := s.drop(); d != nil {
				all = append(all, d)
			}
		}
		return true
	})
	for _, p := range h.order {
		for _, m := range p.bound() {
			h.killFor(m, "the node's lease is gone for good")
		}
	}
	for _, d := range all {
		h.sessions.settleDrop(d, true)
	}
}

// bound are the workers that run a session's call, or are the home of a strict one, but
// for sessions that never leave this node.
func (p *pool) bound() (all []*member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.worker != nil && (m.leased > 0 || serves(&m.running) || serves(&m.behind)) {
			all = append(all, m)
		}
	}
	return all
}

// killFor ends a worker that runs what isn't this node's to run any more. It doesn't block.
func (h *Host) killFor(m *member, why string) {
	m.pool.mu.Lock()
	worker := m.worker
	m.pool.mu.Unlock()
	if worker == nil {
		return
	}
	cause := errdefs.New(errdefs.WorkerCrashed, "%s, and the worker may run a call of a session", why)
	if k, atOnce := worker.(Killer); atOnce {
		if !m.pool.end(context.Background(), m, worker, cause) {
			k.Kill(cause) // it's being stopped, but politely
		}
		return
	}
	h.background(func() { m.pool.end(context.Background(), m, worker, cause) })
}

// Room says for how many more sessions each pool has room.
func (h *Host) Room() map[string]uint32 {
	left := max(h.sessions.max-h.sessions.count.Load(), 0)
	if h.gate.stage.Load() != gateOpen {
		left = 0
	}
	room := map[string]uint32{}
	for _, p := range h.order {
		room[p.name] = 0
		if p.mayServe() {
			room[p.name] = uint32(min(left, math.MaxUint32))
		}
	}
	return room
}

// mayServe reports whether a pool has a worker, or will have one.
func (p *pool) mayServe() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && (p.ready > 0 || p.startErr == nil)
}

func movedAway(id SessionID) error {
	e := errdefs.Wrap(errdefs.SessionMoved, errTheirs, "session %q isn't this node's any more", names.Cut(string(id)))
	e.Hint = "call again: its owner answers"
	return e
}

func leaseEnded() error {
	e := errdefs.New(errdefs.Fenced, "the host's lease has ended: it may not run what is bound to a session")
	e.Hint = "call again: another host takes the session over, or this one gets its lease back"
	return e
}
