package host

import (
	"context"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// maxParting is how many homes are told at once that a session has ended.
const maxParting = 32

// parting is what a home is told whose session has ended, or has gone elsewhere.
type parting struct {
	id    SessionID
	pool  *pool
	home  *member
	epoch uint64
	local bool
	moved bool
}

// parting is what the session's home is to be told; nil: it needn't be, or can't.
func (s *session) parting(moved bool) *parting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partingLocked(moved)
}

func (s *session) partingLocked(moved bool) *parting {
	if s.home == nil || s.due != "" || !s.opened {
		return nil
	}
	return &parting{id: s.id, pool: s.pool, home: s.home, epoch: s.record.Epoch, local: s.record.local(), moved: moved}
}

// bid tells a home that a session has left it, in the background.
func (h *Host) bid(f *parting) {
	if f == nil || !f.pool.hooked(f.home, hookClose) {
		return
	}
	h.background(func() { h.tellParting(f, partWait) })
}

// part tells a home that its session has been closed, in the background, and does the
// rest then: who opens the session anew comes after that.
func (h *Host) part(f *parting, rest func()) {
	if f == nil || !f.pool.hooked(f.home, hookClose) {
		rest()
		return
	}
	told := h.background(func() {
		h.tellParting(f, closeWait)
		rest()
	})
	if !told {
		rest()
	}
}

// background runs f as a part of the host that its end waits for, unless that has come.
func (h *Host) background(f func()) bool {
	if h.gate.enter(true) != nil {
		return false
	}
	h.work.Go(func() {
		defer h.gate.leave()
		f()
	})
	return true
}

// tellParting makes the best effort: a home that's busy for too long isn't told.
func (h *Host) tellParting(f *parting, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case h.partings <- struct{}{}:
		defer func() { <-h.partings }()
	case <-ctx.Done():
		return
	case <-h.stopping:
		return
	}
	payload, err := msgpack.Marshal(map[string]bool{"moved": f.moved})
	if err == nil {
		r := hookRun{hook: hookClose, id: f.id, epoch: f.epoch, local: f.local, pool: f.pool, home: f.home, payload: payload}
		err = afterLease(ctx, func() error { _, err := h.runHook(ctx, r); return err })
	}
	if err != nil {
		h.log.Info("a session's home wasn't told of its end", "session", f.id, "worker", f.home.id, "error", err)
	}
}

// hookRun is a hook that's run by itself, and not before a call.
type hookRun struct {
	hook    string
	id      SessionID
	epoch   uint64
	local   bool // it's none that needs a lease
	pool    *pool
	home    *member
	payload []byte
	session *session // whose it is as long as this node owns it; nil: it doesn't matter
}

// runHook runs a hook on a session's home, in a slot of its own, and gives its result.
func (h *Host) runHook(ctx context.Context, r hookRun) ([]byte, error) {
	deadline, _ := ctx.Deadline()
	req := Request{Tool: r.hook, Session: r.id}
	c := &Call{host: h, id: h.newCallID(), req: req, target: target{tool: &Tool{Name: r.hook}, pool: r.pool}, deadline: deadline, cancel: func() {}}
	t := newTicket(r.pool, c.id, req, nil)
	defer t.close()
	g, err := r.pool.checkout(ctx, wish{home: r.home, strict: AffinityStrictQueue, session: r.id}, t)
	if err != nil {
		return nil, err
	}
	a, err := h.startHook(ctx, c, g, r)
	if err != nil {
		r.pool.release(g)
		return nil, err
	}
	ended, over := make(chan struct{}), a.over
	a.over = func() { over(); close(ended) }
	h.work.Go(func() { a.watch(ctx) })
	result, err := lastOf(ctx, a.run)
	a.mourn(err)
	a.releaseIfDone()
	if r.session != nil {
		h.awaitEnd(ended) // its result may come before that
	}
	if err != nil {
		return nil, hookFailed(r.hook, r.pool, r.home, err)
	}
	return result, nil
}

// awaitEnd waits for the end of a hook. One that was cancelled takes a grace at most, and
// then its worker's end.
func (h *Host) awaitEnd(ended <-chan struct{}) {
	t := time.NewTimer(killWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	case <-h.stopping:
	}
}

// startHook hands a hook to a worker that has a slot for it.
func (h *Host) startHook(ctx context.Context, c *Call, g *grant, r hookRun) (*attempt, error) {
	if err := h.gate.enter(true); err != nil {
		return nil, err
	}
	g.epoch.Store(r.epoch)
	g.local.Store(r.local)
	a := &attempt{call: c, grant: g, began: h.clock()}
	err := r.session.lead(g)
	if err == nil {
		a.run, err = h.handHook(ctx, c, g, r)
	}
	if err != nil {
		r.session.lose(g)
		h.gate.leave()
		return nil, err
	}
	a.over = func() { r.session.lose(g) }
	return a, nil
}

func (h *Host) handHook(ctx context.Context, c *Call, g *grant, r hookRun) (Running, error) {
	run, err := g.worker.Start(ctx, hookCall(ctx, c.id, r))
	if err != nil {
		return nil, c.notStarted(ctx, g, err)
	}
	return run, nil
}

// lead notes a hook that mustn't go on when the session gets another owner.
func (s *session) lead(g *grant) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stale(); err != nil {
		return err
	}
	s.aboard = append(s.aboard, g)
	return nil
}

// lose notes that it's over.
func (s *session) lose(g *grant) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alight(g)
}

// leaseAgain is how soon a hook that the end of a lease stood in the way of is tried again.
const leaseAgain = 250 * time.Millisecond

// afterLease runs f again while it fails for want of a lease, as long as ctx lasts.
func afterLease(ctx context.Context, f func() error) error {
	err := f()
	for errdefs.ReasonOf(err) == errdefs.Fenced && sleep(ctx, leaseAgain) {
		err = f()
	}
	return err
}
