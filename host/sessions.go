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
	host     *Host
	registry Registry
	saved    *savedStore
	max      int64
	log      hclog.Logger
	routes   *routes // nil: all sessions are this node's

	byID  sync.Map // SessionID to *session
	count atomic.Int64

	disowned atomic.Bool // once: what survivors hold in memory was told to go then
}

// newSessions is an empty table.
func newSessions(h *Host) *sessions {
	return &sessions{
		host: h, registry: h.cfg.Registry, saved: newSavedStore(h.cfg.MaxSaved, h.cfg.MaxSessions), max: int64(h.cfg.MaxSessions), log: h.log,
	}
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
func (t *sessions) enter(ctx context.Context, r *Request, p *pool, tk *ticket) (*visit, error) {
	if r.Session == "" {
		return nil, nil
	}
	for {
		s, err := t.findOrAdd(r.Session, p)
		if err != nil {
			return nil, err
		}
		t.expire(ctx, s, time.Now())
		if err = s.take(ctx, tk, false); errors.Is(err, errStale) {
			t.remove(s)
			continue
		}
		if err != nil {
			return nil, err
		}
		tk.left = s.left
		v := &visit{table: t, session: s, req: r}
		if err = v.begin(ctx, p); err != nil {
			v.leave()
			return nil, err
		}
		return v, nil
	}
}

// concurrent reports whether calls of a session don't wait for each other.
func (t *sessions) concurrent(id SessionID) bool {
	s := t.find(id)
	return s != nil && s.concurrent()
}

func (t *sessions) findOrAdd(id SessionID, p *pool) (*session, error) {
	if s := t.find(id); s != nil {
		return s, nil
	}
	if t.count.Add(1) > t.max {
		t.count.Add(-1)
		return nil, sessionQuota(int(t.max))
	}
	v, loaded := t.byID.LoadOrStore(id, newSession(id, p))
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

func otherPool(id SessionID, has, asked string) error {
	return errdefs.New(errdefs.InvalidArguments, "session %q belongs to pool %s, not %s", names.Cut(string(id)), has, asked)
}

// expire ends s if it has been unused for too long. It's marked first, so that
// no call uses it meanwhile; where the registry can't be told, the next call or
// sweep tries again.
func (t *sessions) expire(ctx context.Context, s *session, now time.Time) (expired bool) {
	if !s.expire(now, t.ends) {
		return false
	}
	defer s.told()
	err := t.tellExpired(ctx, s)
	switch {
	case err == nil:
		f := s.parting(false)
		s.end()
		t.remove(s)
		t.host.bid(f)
	case errdefs.ReasonOf(err) == errdefs.Conflict:
		t.drop(s, true) // it's another node's by now
	default:
		t.log.Warn("session could not be closed", "session", s.id, "error", err)
	}
	return true
}

// tellExpired tells the registry that a session's time has run out, under the epoch
// of which that's known.
func (t *sessions) tellExpired(ctx context.Context, s *session) error {
	if r, ok := t.registry.(ExpiryRegistry); ok && t.routes != nil {
		return r.ExpireSession(ctx, s.id, s.state().record.Epoch)
	}
	return t.registry.CloseSession(ctx, s.id, true)
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
	if err := s.take(ctx, tk, true); err != nil {
		if errors.Is(err, errStale) || errdefs.ReasonOf(err) == errdefs.SessionExpired {
			return nil
		}
		return err
	}
	v := &visit{table: t, session: s}
	at, err := s.await(ctx) // its home is told of the end
	switch {
	case err == nil && at.phase == phaseMoved:
		err = movedAway(id)
	case err == nil:
		err = t.closing(ctx, s)
	}
	if err != nil {
		v.leave()
		return err
	}
	t.host.part(s.parting(false), func() {
		s.end()
		t.remove(s)
		v.leave()
	})
	return nil
}

// closing has the registry forget a session that nobody else uses now.
func (t *sessions) closing(ctx context.Context, s *session) error {
	s.setEnding(true)
	err := t.registry.CloseSession(ctx, s.id, false)
	if err != nil {
		s.setEnding(false)
	}
	return err
}

// sweep ends sessions that nobody uses any more, until ctx ends.
func (t *sessions) sweep(ctx context.Context, every time.Duration) {
	for sleep(ctx, every) {
		now, left := time.Now(), sweepBatch
		t.saved.purge(now)
		t.byID.Range(func(_, v any) bool {
			if s, ok := v.(*session); ok && t.expire(ctx, s, now) {
				left--
			}
			return left > 0 && ctx.Err() == nil
		})
	}
}
