package host

import (
	"cmp"
	"context"
	"errors"
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
	grant    *grant   // once it's on a worker, or about to be
	epoch    uint64   // the session's, then
	local    bool     // the session goes on without a lease
	due      string   // the hook that comes before it there; empty: none
}

// errElsewhere says that the call was given another worker than its session's home,
// which has changed meanwhile, and takes no other.
var errElsewhere error = errdefs.New(errdefs.SessionMoved, "the session's home has changed meanwhile")

// begin makes sure that the session may be used as the call asks for: it's known, or
// was found in the registry, or may be opened.
func (v *visit) begin(ctx context.Context, p *pool) error {
	if err := v.lookUp(ctx, p); err != nil {
		return err
	}
	s, err := v.session.await(ctx)
	if err != nil {
		return err
	}
	own := p.cfg().Affinity
	switch {
	case s.phase == phaseOpen:
		own = s.record.Affinity
	case v.req.Affinity != "":
		own = v.req.Affinity
	}
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
	case err == nil && record.Pool != p.name:
		return cmp.Or(v.table.own(record), otherPool(s.id, record.Pool, p.name))
	case err == nil:
		return v.takeOver(record, p.member(record.Home), false)
	case errdefs.ReasonOf(err) == errdefs.SessionNotFound && !v.req.MustExist:
		return nil
	}
	return err
}

// takeOver makes the session what the registry says, if that's for this node to use,
// or will be once its lease holds again.
func (v *visit) takeOver(record Session, home *member, fresh bool) error {
	if err := v.table.own(record); errors.Is(err, errTheirs) {
		return err
	}
	var left Left
	if !fresh {
		v.session.keep(v.table.saved.take(record))
		left = v.table.left(record)
	}
	v.table.host.follow(v.session, record, left, v.session.adopt(record, home, fresh, left))
	v.session.share()
	return nil
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
func (v *visit) settle(ctx context.Context, g *grant) (atHome bool, err error) {
	if v == nil {
		return true, nil
	}
	atHome, err = v.find(ctx, g)
	if errors.Is(err, errTheirs) {
		v.table.drop(v.session, true) // what's known of it here is out of date: who comes next looks it up
	}
	return atHome, err
}

func (v *visit) find(ctx context.Context, g *grant) (atHome bool, err error) {
	m := g.member
	for again := true; again; again = again || v.session.state().pending != nil {
		var s standing
		if s, err = v.session.await(ctx); err != nil {
			return false, err
		}
		switch {
		case s.home == m, m.pool.alive(s.home): // m may be draining by now, and serve those who waited for it
			return v.board(g)
		case s.phase == phaseNew:
			again, err = false, v.open(ctx, m)
		case s.phase == phaseMoved:
			err = movedAway(v.session.id)
		case v.mayMove(s):
			again, err = v.rebind(ctx, m)
		default:
			err = sessionWorkerUnavailable(v.session.id)
		}
		if err != nil {
			return false, err
		}
	}
	return v.board(g)
}

// open records a session whose home is m. Where somebody else was faster, theirs is
// what counts.
func (v *visit) open(ctx context.Context, m *member) error {
	record, err := v.table.registry.OpenSession(ctx, Session{
		ID: v.session.id, Pool: m.pool.name, Home: m.id, TTL: m.pool.cfg().SessionTTL, OpenedAt: time.Now(),
		Affinity: v.affinity, Concurrent: v.req.Concurrent, Availability: v.req.Availability,
	})
	if err != nil {
		return err
	}
	if record.Affinity.rank() > v.affinity.rank() {
		v.affinity = record.Affinity
	}
	return v.takeOver(record, v.homeOf(record, m), record.Home == m.id)
}

// rebind gives a session whose home is gone a new one, unless another of its calls
// does: then it's waited for, and the caller has to look again. Who is told that
// somebody else was faster takes over what they wrote.
func (v *visit) rebind(ctx context.Context, m *member) (again bool, err error) {
	done, wait := v.session.move(nil)
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
		home := v.homeOf(record, m)
		err = v.takeOver(record, home, home != nil) // none of this session's calls has been there
	}
	return false, err
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
	if v != nil && v.session.passFrom(v.grant) {
		v.table.remove(v.session)
		v.table.ownLate(v.session)
	}
}
