package host

import (
	"cmp"
	"context"
	"time"
)

// SessionStatus is how a session is.
type SessionStatus struct {
	Session

	Node      string    // that answers for it
	ExpiresAt time.Time // unless it's used before; zero: never, or not known here
	Away      bool      // another node's, which alone knows when it expires
}

// SessionStatuses lists what the registry knows of the sessions of one pool, or of
// all with an empty name, sorted by id. A call under way counts as a use.
func (h *Host) SessionStatuses(ctx context.Context, pool string) ([]SessionStatus, error) {
	records, err := h.cfg.Registry.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	list := []SessionStatus{}
	now := time.Now()
	for _, r := range records {
		if pool == "" || pool == r.Pool {
			s := SessionStatus{Session: r, Node: cmp.Or(r.Owner.Node, h.cfg.Node), Away: h.sessions.others(r.Owner)}
			if !s.Away {
				s.ExpiresAt = h.sessions.find(r.ID).expiresAt(now)
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// expiresAt is when an unused session's time will have run out.
func (s *session) expiresAt(now time.Time) time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.record.TTL <= 0:
		return time.Time{}
	case s.holders > 0:
		return now.Add(s.record.TTL)
	}
	return s.lastUse.Add(s.record.TTL)
}
