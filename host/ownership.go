package host

// OwnerChanged takes note of a session that this node has begun to own, or doesn't
// any more. It's called in order, by one goroutine, and doesn't block.
func (h *Host) OwnerChanged(c OwnerChange) {
	if c.Mine {
		h.own(c.Session)
	}
}

// Disown gives up all sessions: the lease under which this node owned them is gone for
// good. It returns once every worker that runs a session's call, or is pinned by one,
// has been sent its end.
func (h *Host) Disown() {}

// Room says for how many more sessions each pool has room.
func (h *Host) Room() map[string]uint32 {
	room := map[string]uint32{}
	for _, p := range h.order {
		room[p.name] = uint32(max(h.sessions.max-h.sessions.count.Load(), 0)) //nolint:gosec // max_sessions is far less
	}
	return room
}

// own puts a session into the table, so that it expires when nobody uses it. Its time
// to live begins anew.
func (h *Host) own(record Session) {
	if p := h.pools[record.Pool]; p != nil && h.sessions.find(record.ID) == nil {
		h.sessions.restore(record, p, p.member(record.Home))
	}
}
