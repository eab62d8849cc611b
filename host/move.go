package host

import (
	"context"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// moveWait bounds each write of a move, which goes on although its caller has left.
	moveWait = 5 * time.Second
	// moveAgain is how soon it's asked again what has become of one.
	moveAgain = 250 * time.Millisecond
)

// move is a planned move of a session, whose turn it has alone.
type move struct {
	host    *Host
	session *session
	to      Owner
	from    Session // as it was
	handed  bool    // the other node has what was saved
}

// run moves the session, and gives its turn back. Where it isn't known whether the
// registry has made the move, the session stands still until that's known, without
// its caller: to go on here beside the new owner would be worse than not to.
func (m *move) run(ctx context.Context) error {
	standing, err := m.session.await(ctx) // a worker that is taken over for it mustn't go on with its calls while others run them
	if err != nil {
		m.session.pass()
		return err
	}
	m.from = standing.record
	if standing.phase != phaseOpen {
		m.session.pass()
		return sessionNotFound(m.session.id)
	}
	if err = m.prepare(ctx, standing); err != nil {
		m.withdraw()
		m.session.pass()
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), moveWait)
	defer cancel()
	_, err = m.host.routes.owners.MoveSession(bounded, m.from.ID, m.from.Epoch, m.to)
	switch {
	case err == nil, errdefs.ReasonOf(err) == errdefs.Conflict:
		m.done(err != nil)
	case !m.host.background(m.stay):
		m.done(true) // the host ends, and nothing of the session is started any more
	}
	return err
}

// prepare has the home save what it holds, and the other node keep it.
func (m *move) prepare(ctx context.Context, s standing) error {
	if err := ctx.Err(); err != nil {
		return ended(ctx, "before the session was moved")
	}
	if err := m.host.sessions.own(s.record); err != nil {
		return err
	}
	saved := m.save(ctx, s)
	if m.session.busy() {
		return errdefs.New(errdefs.WorkerHung, "the hook that saves the session doesn't stop")
	}
	if len(saved) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, m.host.cfg.SaveTimeout)
	defer cancel()
	err := m.host.routes.peers.HandOver(bounded, m.to.Node, SavedSession{ID: m.from.ID, Epoch: m.from.Epoch, Saved: saved})
	m.handed = err == nil || errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err)
	if errdefs.ReasonOf(err) == errdefs.PayloadTooLarge {
		m.handed = false
		m.lost(s, err)
		return nil
	}
	return err
}

// lost says that what the home holds doesn't go along.
func (m *move) lost(s standing, why error) {
	m.host.log.Warn("a session moves without what its worker holds of it", "session", m.from.ID, "worker", s.record.Home, "error", why)
}

// save gives what the home's hook returns. A hook that fails doesn't keep the session
// here: on a node that's about to leave it would have nothing then. What was saved
// elsewhere, and not restored here yet, goes along as it is. No bytes are nothing.
func (m *move) save(ctx context.Context, s standing) []byte {
	if s.due != "" {
		return m.session.keeps()
	}
	if !m.session.pool.hooked(s.home, hookSave) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.host.cfg.SaveTimeout)
	defer cancel()
	result, err := m.host.runHook(ctx, hookRun{
		hook: hookSave, id: m.from.ID, epoch: m.from.Epoch, pool: m.session.pool, home: s.home, payload: emptyMap(), session: m.session,
	})
	var saved []byte
	if err == nil {
		err = msgpack.Unmarshal(result, &saved)
	}
	if most := m.host.cfg.MaxSaved; err == nil && len(saved) > most {
		err = errdefs.New(errdefs.PayloadTooLarge, "%d bytes were saved; at most %d", len(saved), most)
	}
	if err != nil {
		m.lost(s, err)
		return nil
	}
	return saved
}

// done drops the session here. One that came too late has another epoch, and so is
// another's, or gone: those who use it next find that out.
func (m *move) done(late bool) {
	if late {
		m.withdraw()
	}
	m.host.sessions.drop(m.session, true)
	m.session.pass()
}

// stay makes sure that a move which failed isn't made after all, and only then lets
// the session go on here: under a new epoch, since the move is from the old one.
func (m *move) stay() {
	for {
		record, err := m.renew()
		switch {
		case err == nil:
			m.withdraw()
			m.session.renew(record)
			m.session.pass()
			return
		case errdefs.ReasonOf(err) == errdefs.Conflict, isGone(err), !m.host.pause(moveAgain):
			m.done(true)
			return
		}
	}
}

func isGone(err error) bool {
	r := errdefs.ReasonOf(err)
	return r == errdefs.SessionNotFound || r == errdefs.SessionExpired
}

// renew gives the session a new epoch, and the home that it has.
func (m *move) renew() (Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), moveWait)
	defer cancel()
	return m.host.cfg.Registry.BindSession(ctx, m.from.ID, m.from.Home, m.from.Epoch)
}

// withdraw takes back what the other node keeps of a session that hasn't moved: it
// would be out of date when the session does. A node that can't be told forgets it by
// itself, and until then the session stands still.
func (m *move) withdraw() {
	if !m.handed {
		return
	}
	m.handed = false
	until := time.Now().Add(savedKept)
	for time.Now().Before(until) {
		ctx, cancel := context.WithTimeout(context.Background(), m.host.cfg.SaveTimeout)
		err := m.host.routes.peers.HandOver(ctx, m.to.Node, SavedSession{ID: m.from.ID, Epoch: m.from.Epoch})
		cancel()
		if err == nil || !m.host.pause(moveAgain) {
			return
		}
	}
}

// pause waits for d, and reports whether the host goes on.
func (h *Host) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.stopping:
		return false
	}
}
