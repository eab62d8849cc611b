package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// visit is a call's turn in its session. A nil one is that of a call without.
type visit struct {
	table    *sessions
	session  *session
	req      *Request
	affinity Affinity // the session's, or the call's own where that's stricter
	unused   bool     // the home had no call before this one
}

// elsewhere says that the call was given another worker than its session's home,
// which has changed meanwhile, and takes no other.
func elsewhere() error {
	return errdefs.New(errdefs.SessionMoved, "the session's home has changed meanwhile")
}

// begin makes sure that the session may be used as the call asks for: it's known, or
// was found in the registry, or may be opened.
func (v *visit) begin(ctx context.Context, p *pool) error {
	if err := v.lookUp(ctx, p); err != nil {
		return err
	}
	s := v.session.state()
	own := p.cfg().Affinity
	switch {
	case s.phase == phaseOpen:
		own = s.record.Affinity
	case v.req.Affinity != "":
		own = v.req.Affinity
	}
	var err error
	v.affinity, err = own.asked(v.req.Affinity)
	return err
}

// lookUp asks the registry about a session that this host doesn't know.
func (v *visit) lookUp(ctx context.Context, p *pool) error {
	s := v.session
	known, bound := s.claim(p)
	if bound != p {
		return otherPool(s.id, bound.name, p.name)
	}
	if known != phaseNew {
		return nil
	}
	record, err := v.table.registry.Session(ctx, s.id)
	switch {
	case err == nil && v.table.own(record) != nil:
		return v.table.own(record)
	case err == nil && record.Pool != p.name:
		return otherPool(s.id, record.Pool, p.name)
	case err == nil:
		s.adopt(record, p.member(record.Home), false)
		s.share()
		return nil
	case errdefs.ReasonOf(err) == errdefs.SessionNotFound && !v.req.MustExist:
		return nil
	}
	return err
}

// wish is which worker the call would like best, or takes alone.
func (v *visit) wish() wish {
	if v == nil {
		return wish{}
	}
	s := v.session.state()
	x := wish{home: s.home, session: v.session.id}
	if s.phase == phaseOpen && !v.mayMove(s) {
		x.strict = v.affinity.strict()
	}
	return x
}

// mayMove reports whether the session can be given a new home when its own is gone.
func (v *visit) mayMove(s standing) bool {
	return v.affinity.strict() == "" || s.unused && !v.session.pool.alive(s.home)
}

// settle makes sure that the session is recorded and its home alive, now that the
// call has a worker, and reports whether that worker is the home. It writes to
// the registry when the session is new, or its home is gone, and else not.
func (v *visit) settle(ctx context.Context, m *member) (atHome bool, err error) {
	if v == nil {
		return true, nil
	}
	for again := true; again; {
		s := v.session.state()
		switch {
		case s.home == m, m.pool.alive(s.home): // m may be draining by now, and serve those who waited for it
			return v.at(s, m)
		case s.phase == phaseNew:
			again, err = false, v.open(ctx, m)
		case v.mayMove(s):
			again, err = v.rebind(ctx, m)
		default:
			err = sessionWorkerUnavailable(v.session.id)
		}
		if err != nil {
			return false, err
		}
	}
	return v.at(v.session.state(), m)
}

func (v *visit) at(s standing, m *member) (atHome bool, err error) {
	v.unused = s.unused
	switch {
	case s.home == m:
		return true, nil
	case v.affinity.strict() == "":
		return false, nil
	case s.home == nil:
		return false, sessionWorkerUnavailable(v.session.id)
	}
	return false, elsewhere()
}

// open records a session whose home is m. Where somebody else was faster, theirs is
// what counts.
func (v *visit) open(ctx context.Context, m *member) error {
	record, err := v.table.registry.OpenSession(ctx, Session{
		ID: v.session.id, Pool: m.pool.name, Home: m.id, TTL: m.pool.cfg().SessionTTL, OpenedAt: time.Now(),
		Affinity: v.affinity, Concurrent: v.req.Concurrent,
	})
	if err == nil {
		err = v.table.own(record)
	}
	if err != nil {
		return err
	}
	if record.Affinity.rank() > v.affinity.rank() {
		v.affinity = record.Affinity
	}
	v.session.adopt(record, v.homeOf(record, m), record.Home == m.id)
	v.session.share()
	return nil
}

// rebind gives a session whose home is gone a new one, unless another of its calls
// does: then it's waited for, and the caller has to look again. Who is told that
// somebody else was faster takes over what they wrote.
func (v *visit) rebind(ctx context.Context, m *member) (again bool, err error) {
	done, wait := v.session.move()
	if done == nil {
		select {
		case <-wait:
			return true, nil
		case <-ctx.Done():
			return false, ended(ctx, "while another call of its session looked for a new home")
		}
	}
	defer done()
	s := v.session.state()
	if m.pool.alive(s.home) {
		return true, nil // the one before found it
	}
	record, err := v.table.registry.BindSession(ctx, s.record.ID, m.id, s.record.Epoch)
	if errdefs.ReasonOf(err) == errdefs.Conflict {
		record, err = v.table.registry.Session(ctx, s.record.ID)
	}
	if err == nil {
		err = v.table.own(record)
	}
	if err != nil {
		return false, err
	}
	v.session.adopt(record, v.homeOf(record, m), record.Home == m.id)
	return false, nil
}

// homeOf is the worker that a record names, most likely m; nil: none of this host's.
func (v *visit) homeOf(record Session, m *member) *member {
	if record.Home == m.id {
		return m
	}
	return m.pool.member(record.Home)
}

// reached notes that the call is on its worker, which may keep something in memory
// from now on when it's the session's home.
func (v *visit) reached(atHome bool) {
	if v != nil && atHome && v.unused {
		v.session.reached()
	}
}

// leave passes the turn on.
func (v *visit) leave() {
	if v != nil && v.session.pass() {
		v.table.remove(v.session)
	}
}
