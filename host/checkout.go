package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// wish is which worker a call would like best: its session's home, or with a strict
// affinity the only one that it takes. The zero wish is for any.
type wish struct {
	home    *member
	strict  Affinity // empty: any other will do
	session SessionID
}

// settles reports whether the worker will be the session's home.
func (x wish) settles() bool { return x.session != "" && (x.home == nil || x.home.gone()) }

// waiter is a call that waits for a slot: of one worker, or of any.
type waiter struct {
	ticket *ticket
	home   *member // nil: any
	weight int     // of its flow

	place link[*waiter]
	flow  *flow
	queue *queue
	since time.Time     // when it began to wait, for any worker
	order link[*waiter] // among those that do, whatever their flow

	granted chan *grant // gets the grant, or nil and err; never both
	err     error
	given   *grant  // what it gets
	after   *waiter // who is told next
}

// checkout grants a slot: of the worker that the call wishes for when that has one
// free, else of one that has nothing to do, the latest used first, else of one with
// room; else of whichever gets free when the call's turn has come.
func (p *pool) checkout(ctx context.Context, x wish, t *ticket) (*grant, error) {
	g, w, err := p.takeOrQueue(x, t)
	if w == nil {
		p.tellIfFull(err)
		return g, err
	}
	defer p.reuse(w)
	for {
		select {
		case g = <-w.granted:
			return g, w.err
		case <-ctx.Done():
			p.giveUp(w)
			return nil, ended(ctx, "while it waited for a worker of pool "+p.name)
		case <-t.left:
			p.giveUp(w)
			return nil, movedAway(t.session)
		case <-t.expired():
			if w.home == nil && p.rising() {
				t.renew()
				continue
			}
			if left, given := p.abandon(w); !left {
				return given, w.err
			}
			return nil, p.queueTimeout(w)
		}
	}
}

// newWaiter makes a waiter of what is left of an earlier one, where there is such.
func (p *pool) newWaiter(t *ticket) *waiter {
	w, _ := p.spare.Get().(*waiter)
	if w == nil {
		w = &waiter{granted: make(chan *grant, 1)}
		w.place.value = w
	}
	w.ticket, w.weight = t, weightOf(p.cfg().Weights, t.flow)
	return w
}

// reuse takes a waiter that stands nowhere any more, and has had its answer if one
// was sent.
func (p *pool) reuse(w *waiter) {
	*w = waiter{granted: w.granted}
	w.place.value = w
	p.spare.Put(w)
}

func (p *pool) takeOrQueue(x wish, t *ticket) (*grant, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errDraining()
	}
	if err := x.refuse(); err != nil {
		return nil, nil, err
	}
	if m := p.pick(x, t); m != nil {
		t.drop()
		return p.grant(m, t), nil, nil
	}
	if x.strict == AffinityStrictFailFast {
		return nil, nil, workerBusy(x.home.id)
	}
	if err := t.take(); err != nil {
		return nil, nil, err
	}
	w, err := p.enqueue(x, t)
	return nil, w, err
}

// refuse fails for a call whose only worker is gone.
func (x wish) refuse() error {
	if x.strict != "" && (x.home == nil || x.home.gone()) {
		return sessionWorkerUnavailable(x.session)
	}
	return nil
}

// pick chooses a worker that has room. A slot that is really free goes before a
// place behind a running call.
func (p *pool) pick(x wish, t *ticket) *member {
	if x.home != nil && x.home.available() {
		return x.home
	}
	if x.strict == "" {
		if m := p.idlest(x.settles()); m != nil {
			return m
		}
	}
	if t.class == classNested || x.strict == AffinityStrictFailFast || p.queue.count > 0 {
		return nil
	}
	if x.home != nil && p.roomBehind(x.home) {
		return x.home
	}
	if x.strict == "" {
		return p.spareRoom()
	}
	return nil
}

func (p *pool) enqueue(x wish, t *ticket) (*waiter, error) {
	w := p.newWaiter(t)
	q := &p.queue
	if x.strict != "" {
		w.home = x.home
		q = x.home.pin()
	}
	if err := p.noteWait(w); err != nil {
		t.drop()
		p.reuse(w)
		return nil, err
	}
	q.push(w)
	p.arrive(w)
	return w, nil
}

// abandon takes a waiter out of the queue, and reports whether it still stood
// there. If it was answered in the same moment, that is its answer.
func (p *pool) abandon(w *waiter) (left bool, g *grant) {
	p.mu.Lock()
	if left = w.queue.remove(w); left {
		p.forgetWait(w)
	}
	p.mu.Unlock()
	if left {
		return true, nil
	}
	return false, <-w.granted // it's on its way
}

func (p *pool) giveUp(w *waiter) {
	if _, g := p.abandon(w); g != nil {
		p.release(g)
	}
}

func (p *pool) queueTimeout(w *waiter) error {
	p.mu.Lock()
	ready, last := p.ready, p.startErr
	p.mu.Unlock()
	wait := p.cfg().QueueTimeout
	switch {
	case w.home != nil:
		return errdefs.New(errdefs.QueueTimeout, "worker %s, its session's home, wasn't free for %s", w.home.id, wait)
	case ready > 0:
		return errdefs.New(errdefs.QueueTimeout, "no worker of pool %s was free for %s", p.name, wait)
	case last != nil:
		return errdefs.Wrap(errdefs.NoWorkers, last, "pool %s has had no live worker for %s", p.name, wait)
	}
	return errdefs.New(errdefs.NoWorkers, "pool %s has had no live worker for %s", p.name, wait)
}

// answers are waiters that have been taken out of the queue and are to be told so,
// once the pool's mutex is free.
type answers struct{ first, last *waiter }

func (a *answers) add(w *waiter) {
	if a.last == nil {
		a.first = w
	} else {
		a.last.after = w
	}
	a.last = w
}

func (a *answers) send() {
	for w := a.first; w != nil; {
		next := w.after
		w.granted <- w.given
		w = next
	}
}

// turnAway answers everybody in a queue with an error; the pool's mutex is held.
func (p *pool) turnAway(q *queue, why func(*waiter) error, out *answers) {
	for w := q.pop(); w != nil; w = q.pop() {
		w.ticket.drop()
		p.forgetWait(w)
		w.err = why(w)
		out.add(w)
	}
}
