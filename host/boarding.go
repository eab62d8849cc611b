package host

import "slices"

// board notes that the call is about to be handed to the worker of its grant, under
// the session's present epoch. From here on it ends with that worker when the session
// gets another owner. atHome reports whether the worker is the session's home.
func (v *visit) board(g *grant) (atHome bool, err error) {
	s := v.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if err = s.stale(); err == nil {
		err = v.table.own(s.record)
	}
	if err != nil {
		return false, err
	}
	atHome = s.home == g.member
	if v.affinity.strict() != "" {
		if err = s.atHomeOnly(atHome); err != nil {
			return false, err
		}
	}
	v.grant, v.epoch, v.unused, v.due = g, s.record.Epoch, s.unused, ""
	if atHome {
		v.due = s.due
	}
	g.epoch.Store(v.epoch)
	if v.local = s.record.local(); v.local {
		g.local.Store(true)
	}
	s.aboard = append(s.aboard, g)
	return atHome, nil
}

// atHomeOnly refuses what can run on the session's home alone and isn't there, or
// can't rely on what the home holds in memory.
func (s *session) atHomeOnly(atHome bool) error {
	switch {
	case s.home == nil:
		return sessionWorkerUnavailable(s.id)
	case !atHome:
		return errElsewhere
	case !s.pool.holds(s.home):
		return leaseEnded()
	}
	return nil
}

// alight takes a call off its worker; the session's mutex is held.
func (s *session) alight(g *grant) {
	if i := slices.Index(s.aboard, g); i >= 0 {
		last := len(s.aboard) - 1
		s.aboard[i], s.aboard[last] = s.aboard[last], nil
		s.aboard = s.aboard[:last]
	}
}

// busy reports whether something of the session is on a worker.
func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.aboard) > 0
}

// alight takes the call off a worker that it couldn't be started on.
func (v *visit) alight() {
	if v == nil || v.grant == nil {
		return
	}
	v.session.mu.Lock()
	defer v.session.mu.Unlock()
	v.session.alight(v.grant)
	v.grant = nil
}

// hold has a worker pinned while it's the home of a strict session: at the end of the
// lease it's frozen, whether it runs a call or not. The pool's mutex is held.
func (m *member) hold() {
	pinner, ok := m.worker.(Pinner)
	switch {
	case !ok || m.held == (m.leased > 0):
	case m.held:
		m.held = false
		pinner.Unpin()
	default:
		m.held = pinner.Pin()
	}
}

// holds reports whether a strict session's home is pinned, if it can be.
func (p *pool) holds(m *member) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.hold()
	_, ok := m.worker.(Pinner)
	return m.leased == 0 || m.held || !ok
}
