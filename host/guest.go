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
	p := st.pool
	m := newMember(p, st.next, id)
	m.survivor, m.guest = true, true
	p.sit(m)
	tenure, retire := context.WithCancel(ctx)
	s := &seat{
		number: st.next, retire: retire, expects: m, member: m, patience: drainBound, guest: true, since: time.Now(),
	}
	st.next++
	st.guests = append(st.guests, s)
	st.group.Go(func() error {
		defer retire()
		return p.keep(ctx, tenure, s, st.shared)
	})
}

// seeGuestsOff ends the adopted workers that no session lives on any more.
func (st *steward) seeGuestsOff(now time.Time, next *alarm) {
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	st.guests = slices.DeleteFunc(st.guests, func(s *seat) bool {
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
		s.retired = true
		s.retire()
		return true
	})
}

// dismissGuests ends all adopted workers: what they run is no longer what the pool is to run.
func (st *steward) dismissGuests() {
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range st.guests {
		s.retired = true
		s.retire()
	}
	st.guests = nil
}
