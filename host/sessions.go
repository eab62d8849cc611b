package host

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// errStale says that a session was closed while a call waited in it.
var errStale = errors.New("session was closed meanwhile")

const (
	sweepBatch  = 256
	sweepAtMost = time.Minute
	sweepLeast  = time.Second
)

// sessions is the table of those sessions that this host has in use. A call of a
// known session reads it without a lock.
type sessions struct {
	registry Registry
	max      int64
	log      hclog.Logger

	byID  sync.Map // SessionID to *session
	count atomic.Int64
}

// visit is a call's turn in its session. A nil one is that of a call without.
type visit struct {
	table   *sessions
	session *session
}

// find returns a session in use, or nil.
func (t *sessions) find(id SessionID) *session {
	v, ok := t.byID.Load(id)
	if !ok {
		return nil
	}
	s, _ := v.(*session)
	return s
}

// enter waits for the call's turn in its session and makes sure that the session
// may be used: it's known, or was found in the registry, or may be opened.
func (t *sessions) enter(ctx context.Context, id SessionID, p *pool, mustExist bool, tk *ticket) (*visit, error) {
	if id == "" {
		return nil, nil
	}
	for {
		s, err := t.findOrAdd(id, p)
		if err != nil {
			return nil, err
		}
		t.expire(ctx, s, time.Now())
		if err = s.take(ctx, tk); errors.Is(err, errStale) {
			t.remove(s)
			continue
		}
		if err != nil {
			return nil, err
		}
		v := &visit{t, s}
		if err = v.lookUp(ctx, p, mustExist); err != nil {
			v.leave()
			return nil, err
		}
		return v, nil
	}
}

func (t *sessions) findOrAdd(id SessionID, p *pool) (*session, error) {
	if s := t.find(id); s != nil {
		return s, nil
	}
	if t.count.Add(1) > t.max {
		t.count.Add(-1)
		return nil, sessionQuota(int(t.max))
	}
	v, loaded := t.byID.LoadOrStore(id, &session{id: id, pool: p})
	if loaded {
		t.count.Add(-1)
	}
	s, _ := v.(*session)
	return s, nil
}

func (t *sessions) remove(s *session) {
	if t.byID.CompareAndDelete(s.id, s) {
		t.count.Add(-1)
	}
}

// lookUp asks the registry about a session that this host doesn't know.
func (v *visit) lookUp(ctx context.Context, p *pool, mustExist bool) error {
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
		return otherPool(s.id, record.Pool, p.name)
	case err == nil:
		s.adopt(record, p.member(record.Home))
		return nil
	case errdefs.ReasonOf(err) == errdefs.SessionNotFound && !mustExist:
		return nil
	}
	return err
}

func otherPool(id SessionID, has, asked string) error {
	return errdefs.New(errdefs.InvalidArguments, "session %q belongs to pool %s, not %s", names.Cut(string(id)), has, asked)
}

// home is the worker that the call would like best; nil: any.
func (v *visit) home() *member {
	if v == nil {
		return nil
	}
	_, _, home := v.session.state()
	return home
}

// settle makes sure that the session is recorded and its home alive, now that the
// call has a worker, and reports whether that worker is the home. It writes to
// the registry when the session is new, or its home is gone, and else not.
func (v *visit) settle(ctx context.Context, g *grant) (atHome bool, err error) {
	if v == nil {
		return true, nil
	}
	s, m := v.session, g.member
	known, record, home := s.state()
	switch {
	case known == phaseNew:
		record = Session{ID: s.id, Pool: m.pool.name, Home: m.id, TTL: m.pool.cfg().SessionTTL, OpenedAt: time.Now()}
		record, err = v.table.registry.OpenSession(ctx, record)
	case !m.pool.alive(home):
		record, err = v.table.rebind(ctx, record, m.id)
	default:
		return home == m, nil
	}
	if err != nil {
		return false, err
	}
	if home = m; record.Home != m.id {
		home = m.pool.member(record.Home)
	}
	s.adopt(record, home)
	return home == m, nil
}

// rebind gives a session whose home is gone a new one. Who is told that somebody
// else was faster takes over what they wrote.
func (t *sessions) rebind(ctx context.Context, record Session, home WorkerID) (Session, error) {
	bound, err := t.registry.BindSession(ctx, record.ID, home, record.Epoch)
	if errdefs.ReasonOf(err) == errdefs.Conflict {
		return t.registry.Session(ctx, record.ID)
	}
	return bound, err
}

// leave passes the turn on.
func (v *visit) leave() {
	if v != nil && v.session.pass() {
		v.table.remove(v.session)
	}
}

// expire ends s if it has been unused for too long. It's marked first, so that
// no call uses it meanwhile; where the registry can't be told, the next call or
// sweep tries again.
func (t *sessions) expire(ctx context.Context, s *session, now time.Time) (expired bool) {
	if !s.expire(now) {
		return false
	}
	defer s.told()
	if err := t.forget(ctx, s, true); err != nil {
		t.log.Warn("session could not be closed", "session", s.id, "error", err)
	}
	return true
}

func (t *sessions) forget(ctx context.Context, s *session, expired bool) error {
	if err := t.registry.CloseSession(ctx, s.id, expired); err != nil {
		return err
	}
	s.end()
	t.remove(s)
	return nil
}

// close ends a session after the calls that came before.
func (t *sessions) close(ctx context.Context, id SessionID) error {
	s := t.find(id)
	if s == nil {
		return t.registry.CloseSession(ctx, id, false)
	}
	_, p := s.claim(nil)
	tk := &ticket{pool: p}
	defer tk.close()
	if err := s.take(ctx, tk); err != nil {
		if errors.Is(err, errStale) || errdefs.ReasonOf(err) == errdefs.SessionExpired {
			return nil
		}
		return err
	}
	v := &visit{t, s}
	defer v.leave()
	return t.forget(ctx, s, false)
}

// sweep ends sessions that nobody uses any more, until ctx ends.
func (t *sessions) sweep(ctx context.Context, every time.Duration) {
	for sleep(ctx, every) {
		now, left := time.Now(), sweepBatch
		t.byID.Range(func(_, v any) bool {
			if s, ok := v.(*session); ok && t.expire(ctx, s, now) {
				left--
			}
			return left > 0 && ctx.Err() == nil
		})
	}
}

// descend notes which calls the one with the turn is nested in.
func (v *visit) descend(line *lineage) {
	if v != nil {
		v.session.setLine(line)
	}
}
