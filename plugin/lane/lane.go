package lane

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Config is what a lane needs beside its carrier. The zero value is a lane whose
// calls to this side are all refused.
type Config struct {
	// Token is what Dial shows and what Accept wants to see; empty: Accept takes any.
	Token []byte
	// Agent says who speaks, for the other side's logs.
	Agent string
	// Limits are what this side takes.
	Limits Limits
	// Serve runs a call that the other side opened, in a goroutine of its own, and
	// ends it with in.End. ctx is done when the call is cancelled, at its deadline,
	// and when the lane ends; context.Cause says which. Nil: there are no tools.
	Serve func(ctx context.Context, in *Inbound)
	// Logger hears of what the lane can't tell anyone else; nil: nobody does.
	Logger hclog.Logger
}

// Lane is one channel of frames. It's safe for concurrent use.
type Lane struct {
	carrier Carrier
	instant instant // the same carrier, where it can write without blocking
	cfg     Config
	dialled bool
	own     Limits
	peer    Limits
	agent   string
	wake    chan struct{} // capacity 1: the writer has something to do
	done    chan struct{}
	past    chan struct{} // closed from the start
	serving sync.WaitGroup

	pings atomic.Uint64 // the last nonce

	mu         sync.Mutex // guards what follows: memory only, never across anything that waits
	ended      bool
	err        error
	calls      map[uint64]*Call    // opened by this side; until their end
	served     map[uint64]*Inbound // opened by the other side; until their end is written
	nextID     uint64
	lastSeen   uint64 // the other side's last number
	draining   bool
	peerDrains bool
	waiters    map[uint64]chan time.Duration // for pongs, by nonce
	spare      []chan struct{}               // ready channels that nobody waits on

	in     inbox // the lane's own balance, for what comes
	credit int64 // the lane's own balance, for what goes
	writer writer
}

// Dial opens the lane's host side: it writes hello and waits for the other's. ctx
// bounds that alone. On error the carrier is closed. Errors: version_mismatch,
// protocol, unauthenticated, host_unreachable, and whatever ended ctx. Call Run
// afterwards, whatever happens.
func Dial(ctx context.Context, carrier Carrier, cfg Config) (*Lane, error) {
	return open(ctx, carrier, cfg, true)
}

// Accept opens the lane's worker side: it waits for hello and answers. Otherwise
// it's as [Dial].
func Accept(ctx context.Context, carrier Carrier, cfg Config) (*Lane, error) {
	return open(ctx, carrier, cfg, false)
}

func newLane(carrier Carrier, cfg Config, dialled bool, peer Limits) *Lane {
	l := &Lane{
		carrier: carrier, cfg: cfg, dialled: dialled, own: cfg.Limits.own(), peer: peer,
		wake: make(chan struct{}, 1), done: make(chan struct{}), past: make(chan struct{}),
		calls: map[uint64]*Call{}, served: map[uint64]*Inbound{}, waiters: map[uint64]chan time.Duration{},
		nextID: 2, credit: int64(peer.LaneWindow),
	}
	if dialled {
		l.nextID = 1
	}
	l.in = inbox{window: int64(l.own.LaneWindow), balance: int64(l.own.LaneWindow)}
	l.instant, _ = carrier.(instant)
	close(l.past)
	return l
}

// Agent is who the other side says that it is.
func (l *Lane) Agent() string { return l.agent }

// Run reads and writes until the lane ends or ctx is done, and owns every
// goroutine of the lane. It closes the carrier, and returns after the last Serve
// has returned: why the lane ended, or nil when that was ctx.
func (l *Lane) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	l.serving.Go(func() { l.fail(l.read(inner)) })
	l.serving.Go(func() { l.fail(l.write()) })
	select {
	case <-ctx.Done():
		l.fail(errdefs.Wrap(errdefs.Cancelled, context.Cause(ctx), "the lane was closed"))
	case <-l.done:
	}
	if err := l.carrier.Close(); err != nil && l.cfg.Logger != nil {
		l.cfg.Logger.Debug("closing the lane's carrier", "error", err)
	}
	l.serving.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return l.Err()
}

// Drain tells the other side that no new calls are taken; those that come all the
// same are ended with draining. It doesn't block, and it doesn't end this side's calls.
func (l *Lane) Drain() {
	l.mu.Lock()
	if !l.draining {
		l.draining, l.writer.drain = true, true
	}
	l.mu.Unlock()
	nudge(l.wake)
}

// Done is closed when the lane has ended.
func (l *Lane) Done() <-chan struct{} { return l.done }

// Err says why the lane ended; nil before.
func (l *Lane) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail ends the lane: all open calls, and everyone who waits.
func (l *Lane) fail(cause error) {
	l.mu.Lock()
	if l.ended || cause == nil {
		l.mu.Unlock()
		return
	}
	l.ended, l.err = true, carrierError(cause)
	all := l.endAll()
	waiters := l.waiters
	l.waiters = nil
	l.mu.Unlock()
	for _, e := range all {
		e.fire()
	}
	for _, w := range waiters {
		close(w)
	}
	close(l.done)
}

func (l *Lane) endAll() []effects {
	all := make([]effects, 0, len(l.calls)+len(l.served))
	for _, c := range l.calls {
		if c.cause == nil {
			c.err = l.endOfCall(l.err, c.sent, c.at)
		}
		all = append(all, effects{ready: c.ready, room: c.room, done: l.finish(c)})
	}
	cause := errdefs.Wrap(errdefs.Cancelled, l.err, "the lane to the %s ended", l.other())
	for _, in := range l.served {
		if in.cause == nil {
			in.cause = cause
		}
		in.over = true
		in.out.clear()
		in.in.close()
		all = append(all, effects{ready: in.ready, room: in.room, stop: in.stop, cause: cause})
	}
	clear(l.served)
	l.writer.clear()
	return all
}

// Ping asks whether the other side still reads. busy is for how long its oldest
// call has been running, zero when it's idle.
func (l *Lane) Ping(ctx context.Context) (busy time.Duration, err error) {
	nonce := l.pings.Add(1)
	answer := make(chan time.Duration, 1)
	l.mu.Lock()
	if l.ended {
		defer l.mu.Unlock()
		return 0, l.err
	}
	l.waiters[nonce] = answer
	l.writer.pings = append(l.writer.pings, nonce)
	l.mu.Unlock()
	nudge(l.wake)
	defer l.forget(nonce)
	select {
	case busy, ok := <-answer:
		if !ok {
			return 0, l.Err()
		}
		return busy, nil
	case <-ctx.Done():
		return 0, contextError(ctx, errdefs.Where{})
	}
}

// forget drops a ping that was answered or isn't waited for any more.
func (l *Lane) forget(nonce uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiters, nonce)
	l.writer.pings = slices.DeleteFunc(l.writer.pings, func(n uint64) bool { return n == nonce })
}

// busy is for how long the oldest call of the other side has been running here.
func (l *Lane) busy(now time.Time) time.Duration {
	var longest time.Duration
	for _, in := range l.served {
		if !in.started.IsZero() {
			longest = max(longest, now.Sub(in.started))
		}
	}
	return longest
}

const spareChannels = 64

// channel gives a ready channel. One that was used before may hold a signal still,
// which is harmless: whoever waits looks again.
func (l *Lane) channel() chan struct{} {
	n := len(l.spare)
	if n == 0 {
		return make(chan struct{}, 1)
	}
	ch := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return ch
}

func (l *Lane) recycle(ch chan struct{}) {
	if len(l.spare) < spareChannels {
		l.spare = append(l.spare, ch)
	}
}

// effects are what follows from a change once the lock is released: channels and
// contexts are never touched under it.
type effects struct {
	ready, room, done chan struct{}
	stop              context.CancelCauseFunc
	cause             error   // for stop and orphans
	orphans           []*Call // to cancel
}

func (e *effects) fire() {
	nudge(e.ready)
	nudge(e.room)
	if e.done != nil {
		close(e.done)
	}
	if e.stop != nil {
		e.stop(e.cause)
	}
	for _, c := range e.orphans {
		c.Cancel(e.cause)
	}
}
