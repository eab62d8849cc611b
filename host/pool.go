package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// pool is a set of seats for one adapter, the workers that sit in them, and the
// queue of calls that wait for one.
//
// Two things always hold: while a call waits for any worker no slot is free, and
// while one waits for a certain worker that one has none free, since whoever frees a
// slot hands it on; and each grant is released exactly once.
type pool struct {
	name   string
	conf   atomic.Pointer[PoolConfig] // replaced as a whole by a live change; what it points to isn't changed
	node   string
	log    hclog.Logger
	tools  atomic.Pointer[toolset] // nil until a worker has been ready
	tally  *tally
	event  events
	offers func() // told when a worker may have brought other tools
	sizing
	breaker *breaker
	begun   time.Time
	told    atomic.Int64 // when it last said that its queue is full, in nanoseconds since begun; 0: never

	spare sync.Pool // of waiters

	lapsed func() bool // reports whether the node has lost its lease, at whose end workers are frozen, and later killed

	mu        sync.Mutex // guards all below, for memory only
	members   []*member  // by seat, one in each that has had a worker
	serving   map[WorkerID]*member
	idle      fifo[*member] // with nothing to do, the latest used first
	partly    fifo[*member] // with a free slot beside running calls
	full      fifo[*member] // with room only for calls beyond their slots
	queue     queue         // of those that take any worker
	waiting   int           // calls with a ticket: in a queue, or waiting for their session's turn
	stalled   int           // calls that hold a slot while calls of their own wait for one
	ready     int
	open      int // slots of those workers
	replaced  uint64
	startErr  error         // why the newest worker couldn't start; nil when it could
	changed   chan struct{} // closed and renewed when a worker gets ready or fails to
	closed    bool
	everReady bool
	want      int  // workers that it should have, apart from those that take another's place
	alert     bool // the steward wants to know when a call waits
	usage     usage
	arrivals  fifo[*waiter] // those that wait for any worker, as they came
}

func newPool(cfg PoolConfig, node string, tell func(Event), log hclog.Logger) *pool {
	p := &pool{
		name:    cfg.Name,
		node:    node,
		tally:   newTally(),
		event:   events{pool: cfg.Name, tell: tell},
		log:     log.With("pool", cfg.Name),
		sizing:  newSizing(),
		begun:   time.Now(),
		offers:  func() {},
		serving: map[WorkerID]*member{},
		changed: make(chan struct{}),
		want:    cfg.atFirst(),
		lapsed:  func() bool { return false },
	}
	p.conf.Store(&cfg)
	p.breaker = newBreaker(p)
	return p
}

// cfg is the pool's configuration as it is now.
func (p *pool) cfg() *PoolConfig { return p.conf.Load() }

// close refuses all who wait and all who come.
func (p *pool) close() {
	var out answers
	draining := func(*waiter) error { return errDraining() }
	p.mu.Lock()
	p.closed = true
	p.turnAway(&p.queue, draining, &out)
	for _, m := range p.members {
		if m.pins != nil {
			p.turnAway(&m.pins.queue, draining, &out)
		}
	}
	changed := p.renewChanged()
	p.mu.Unlock()
	out.send()
	close(changed)
}

// renewChanged returns the channel to close once the mutex is free.
func (p *pool) renewChanged() chan struct{} {
	old := p.changed
	p.changed = make(chan struct{})
	return old
}

// fullAgain is how often a pool says that its queue is full.
const fullAgain = time.Second

// tellIfFull says that the queue is full, but not for each call that is refused.
func (p *pool) tellIfFull(err error) {
	if err == nil || errdefs.ReasonOf(err) != errdefs.QueueFull {
		return
	}
	now, last := int64(time.Since(p.begun)), p.told.Load()
	if (last == 0 || now-last >= int64(fullAgain)) && p.told.CompareAndSwap(last, max(now, 1)) {
		p.event.emit(EventQueueFull, "", errdefs.QueueFull, err.Error())
	}
}
