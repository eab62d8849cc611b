package host

import (
	"context"
	"slices"
	"time"
)

// guestWait is how long an adopted worker waits for its first session.
const guestWait = 10 * time.Second

// host seats a worker that a neighbour has left: beside those that the pool wants, and for
// as long as a session lives there.
func (st *steward) host(ctx context.Context, id WorkerID) {
	m := newMember(st.pool, st.next, id)
	m.survivor, m.guest = true, true
	st.pool.sit(m)
	s := &seat{expects: m, member: m, guest: true, since: time.Now()}
	st.guests = append(st.guests, s)
	st.begin(ctx, s)
}

// seeGuestsOff ends the adopted workers that no session lives on any more.
func (st *steward) seeGuestsOff(now time.Time, next *alarm) {
	for _, s := range slices.Clone(st.guests) {
		if st.mayLeave(s, now, next) {
			st.release(s, drainBound)
		}
	}
}

// mayLeave reports whether a guest is gone, or nobody needs it.
func (st *steward) mayLeave(s *seat, now time.Time, next *alarm) bool {
	st.pool.mu.Lock()
	defer st.pool.mu.Unlock()
	leaves := s.since.Add(guestWait)
	switch {
	case s.vacant:
		return true
	case s.member.sessions > 0:
		return false
	case now.Before(leaves):
		next.before(leaves)
		return false
	}
	return true
}

// evict ends a worker that is starting. A seat of the pool's own gets another.
func (st *steward) evict(m *member) {
	for _, s := range slices.Concat(st.list, st.guests) {
		if st.sitter(s) == m && st.pool.starting(m) {
			st.release(s, 0)
			return
		}
	}
}

func (p *pool) starting(m *member) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m.state == WorkerStarting
}

// dismissGuests ends all adopted workers: what they run is no longer what the pool is to run.
func (st *steward) dismissGuests() {
	for _, s := range slices.Clone(st.guests) {
		st.release(s, drainBound)
	}
}
