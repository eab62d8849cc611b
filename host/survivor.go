package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// seatSurvivors puts the workers of an earlier host into seats of their pools, as
// starting: a session whose home is one of them keeps it. Those that no pool has a
// seat for are ended.
func (h *Host) seatSurvivors() map[*pool][]*member {
	launcher, ok := h.cfg.Launcher.(Reattacher)
	if !ok {
		return nil
	}
	left := map[*pool][]*member{}
	for _, s := range launcher.Survivors() {
		p := h.pools[s.Pool]
		if p == nil || len(left[p]) == p.roomForSurvivors() {
			h.log.Info("a worker of the last host has no seat any more", "worker", s.Worker, "pool", s.Pool)
			launcher.Forsake(s.Worker)
			continue
		}
		m := newMember(p, len(left[p]), s.Worker)
		m.survivor = true
		p.sit(m)
		left[p] = append(left[p], m)
	}
	for p, members := range left {
		p.mu.Lock()
		p.want = p.cfg().fitted(max(len(members), p.want))
		p.mu.Unlock()
	}
	return left
}

// roomForSurvivors is how many workers of an earlier host a pool takes: what its
// load had made it grow to is worth keeping.
func (p *pool) roomForSurvivors() int {
	cfg := p.cfg()
	return cfg.fitted(cfg.Scale.Max)
}

// resume goes on with a survivor until its death, or ctx's end. One that can't be
// gone on with is no fault of the adapter: the seat is launched anew at once.
func (p *pool) resume(life, tenure context.Context, st *seat, s *seats) error {
	m := st.expects
	launcher, ok := s.launcher.(Reattacher)
	if !ok {
		return nil // it was one when it gave the survivor
	}
	worker, err := launcher.Reattach(tenure, p.spec(m), s.serve)
	if err != nil {
		p.log.Warn("worker of the last host is replaced", "worker", m.id, "error", err)
		p.withdraw(m, WorkerDead)
		p.mu.Lock()
		changed := p.renewChanged()
		p.mu.Unlock()
		close(changed) // a session may wait for it
		s.records.release(m.id)
		return nil
	}
	p.log.Info("worker of the last host goes on", "worker", m.id, "pid", worker.Description().Process.PID, "adopted", m.guest)
	p.welcome(m, worker)
	return p.attend(life, tenure, st, worker, s)
}

// restoreSessions takes over what the registry knows: a session that nobody uses any
// more would never expire otherwise. Their time to live begins anew.
func (h *Host) restoreSessions(ctx context.Context) error {
	records, err := h.cfg.Registry.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if !h.sessions.others(r.Owner) {
			h.own(r)
		}
	}
	return nil
}

// knowsNothing reports whether a registry hasn't found a majority since it was opened.
func knowsNothing(err error) bool { return errdefs.ReasonOf(err) == errdefs.NoQuorum }

// askAgain is how often a registry is asked that knows nothing yet.
const askAgain = 250 * time.Millisecond

// restoreLater restores the sessions once the registry knows which there are, if that's
// before ctx ends. Until then nobody calls them here.
func (h *Host) restoreLater(ctx context.Context) {
	for sleep(ctx, askAgain) {
		err := h.restoreSessions(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !knowsNothing(err) {
			h.log.Error("the sessions of the last host can't be read", "error", err)
			return
		}
	}
}

// restore puts a recorded session into the table, unless it's there.
func (t *sessions) restore(record Session, p *pool, home *member) {
	s := newSession(record.ID, p)
	if _, loaded := t.byID.LoadOrStore(s.id, s); loaded {
		return
	}
	t.count.Add(1)
	s.keep(t.saved.take(record))
	s.adopt(record, home, false)
}
