package host

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// pool is a set of seats for one adapter, the workers that sit in them, and the
// queue of calls that wait for one.
//
// Two things always hold: while a call waits, no slot is free, since whoever
// frees a slot hands it on; and each grant is released exactly once.
type pool struct {
	name  string
	conf  atomic.Pointer[PoolConfig] // replaced as a whole by a live change; what it points to isn't changed
	node  string
	log   hclog.Logger
	tools atomic.Pointer[toolset] // nil until a worker has been ready
	calls atomic.Uint64           // started on a worker
	fails failures
	event events
	sizing

	mu        sync.Mutex // guards all below, for memory only
	members   []*member  // by seat, one in each that has had a worker
	free      fifo[*member]
	queue     fifo[*waiter]
	waiting   int // calls with a ticket: in queue, or waiting for their session's turn
	ready     int
	replaced  uint64
	startErr  error         // why the newest worker couldn't start; nil when it could
	changed   chan struct{} // closed and renewed when a worker gets ready or fails to
	closed    bool
	everReady bool
	want      int  // workers that it should have, apart from those that take another's place
	alert     bool // the steward wants to know when a call waits
	load      load
}

// waiter is a call that waits for a slot.
type waiter struct {
	place   link[*waiter]
	ticket  *ticket
	since   time.Time
	granted chan *grant // gets the grant, or nil when the pool closes; never both
}

// grant is a checkout: one slot of one worker, until it's released.
type grant struct {
	member   *member
	worker   Worker
	released atomic.Bool
}

func newPool(cfg PoolConfig, node string, tell func(Event), log hclog.Logger) *pool {
	p := &pool{
		name:    cfg.Name,
		node:    node,
		event:   events{pool: cfg.Name, tell: tell},
		log:     log.With("pool", cfg.Name),
		sizing:  newSizing(),
		changed: make(chan struct{}),
		want:    cfg.atFirst(),
	}
	p.conf.Store(&cfg)
	return p
}

// cfg is the pool's configuration as it is now.
func (p *pool) cfg() *PoolConfig { return p.conf.Load() }

// checkout grants a slot: of prefer when that has one free (nil: no preference),
// else of the worker that has been free for longest, else of whichever gets free
// first once all who came earlier are served.
func (p *pool) checkout(ctx context.Context, prefer *member, t *ticket) (*grant, error) {
	g, w, err := p.takeOrQueue(prefer, t)
	if w == nil {
		return g, err
	}
	for {
		select {
		case g = <-w.granted:
			return g, closedUnless(g)
		case <-ctx.Done():
			p.giveUp(w)
			return nil, ended(ctx, "while it waited for a worker of pool "+p.name)
		case <-t.expired():
			if p.rising() {
				t.renew()
				continue
			}
			if g = p.abandon(w); g != nil {
				return g, nil
			}
			return nil, p.queueTimeout()
		}
	}
}

func closedUnless(g *grant) error {
	if g == nil {
		return errDraining()
	}
	return nil
}

func (p *pool) takeOrQueue(prefer *member, t *ticket) (*grant, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errDraining()
	}
	if m := p.pick(prefer); m != nil {
		t.drop()
		return p.grant(m), nil, nil
	}
	if err := t.take(); err != nil {
		return nil, nil, err
	}
	w := &waiter{ticket: t, since: time.Now(), granted: make(chan *grant, 1)}
	w.place.value = w
	if t.served {
		p.queue.pushFront(&w.place)
	} else {
		p.queue.push(&w.place)
	}
	p.stir()
	return nil, w, nil
}

func (p *pool) pick(prefer *member) *member {
	if prefer != nil && prefer.available() {
		return prefer
	}
	if p.free.head == nil {
		return nil
	}
	return p.free.head.value
}

// grant takes a slot. A worker with slots left goes to the end of the free list,
// so that calls spread.
func (p *pool) grant(m *member) *grant {
	m.enter()
	p.free.remove(&m.free)
	if m.available() {
		p.free.push(&m.free)
	}
	return &grant{member: m, worker: m.worker}
}

// release frees a grant's slot; the second time it does nothing.
func (p *pool) release(g *grant) {
	if g.released.Swap(true) {
		return
	}
	p.mu.Lock()
	g.member.leave()
	w, next := p.handOn(g.member)
	p.mu.Unlock()
	if w != nil {
		w.granted <- next
	}
}

// handOn gives a free slot to the first in the queue, or lists it as free. The
// caller delivers the grant after unlocking.
func (p *pool) handOn(m *member) (*waiter, *grant) {
	if !m.available() || m.ended() {
		return nil, nil
	}
	if l := p.queue.pop(); l != nil {
		l.value.ticket.drop()
		return l.value, p.grant(m)
	}
	if m.free.in == nil {
		p.free.push(&m.free)
	}
	return nil, nil
}

// abandon takes a waiter out of the queue. If it was granted a slot in the same
// moment, that is returned.
func (p *pool) abandon(w *waiter) *grant {
	p.mu.Lock()
	queued := p.queue.remove(&w.place)
	p.mu.Unlock()
	if queued {
		return nil
	}
	return <-w.granted // it's on its way
}

func (p *pool) giveUp(w *waiter) {
	if g := p.abandon(w); g != nil {
		p.release(g)
	}
}

func (p *pool) queueTimeout() error {
	p.mu.Lock()
	ready, last := p.ready, p.startErr
	p.mu.Unlock()
	if ready > 0 {
		return errdefs.New(errdefs.QueueTimeout, "no worker of pool %s was free for %s", p.name, p.cfg().QueueTimeout)
	}
	if last != nil {
		return errdefs.Wrap(errdefs.NoWorkers, last, "pool %s has had no live worker for %s", p.name, p.cfg().QueueTimeout)
	}
	return errdefs.New(errdefs.NoWorkers, "pool %s has had no live worker for %s", p.name, p.cfg().QueueTimeout)
}

// close refuses all who wait and all who come.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var waiters []*waiter
	for l := p.queue.pop(); l != nil; l = p.queue.pop() {
		l.value.ticket.drop()
		waiters = append(waiters, l.value)
	}
	changed := p.renewChanged()
	p.mu.Unlock()
	for _, w := range waiters {
		w.granted <- nil
	}
	close(changed)
}

// renewChanged returns the channel to close once the mutex is free.
func (p *pool) renewChanged() chan struct{} {
	old := p.changed
	p.changed = make(chan struct{})
	return old
}
