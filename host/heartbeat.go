package host

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// A Prober is a worker that can be asked whether it still reads. A pool's heartbeat
// looks for it; a worker that isn't one is never found to hang.
type Prober interface {
	// Probe blocks until the worker has answered. busy is for how long its oldest
	// call has been running; zero: it runs none. ErrPaused says that no answer is
	// owed; any other error means that none came, not that the worker is dead.
	Probe(ctx context.Context) (busy time.Duration, err error)
}

// ErrPaused says that a worker's process is stopped or frozen: it owes no answer, and
// whoever stopped it, or found it so, also sees to its end.
var ErrPaused = errors.New("the worker's process is stopped")

const (
	// heartbeatOff is how often a pool that has no heartbeat looks whether it has one now.
	heartbeatOff = 10 * time.Second
	// leastPatience is how long a busy worker's answer may take in any case.
	leastPatience = time.Second
)

// pulse is what one worker's heartbeat remembers.
type pulse struct {
	pool   *pool
	member *member
	worker Worker
	prober Prober
	missed int       // in a row, with nothing to do
	silent time.Time // when the first probe since the last answer was sent; zero: it has answered
}

// paused reports whether a worker's process is stopped: then it can't obey.
func paused(ctx context.Context, worker Worker) bool {
	prober, ok := worker.(Prober)
	if !ok {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := prober.Probe(ctx)
	return errors.Is(err, ErrPaused)
}

// startHeartbeat begins to probe a worker; end returns once that's over.
func (p *pool) startHeartbeat(ctx context.Context, m *member, worker Worker) (end func()) {
	prober, ok := worker.(Prober)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	u := &pulse{pool: p, member: m, worker: worker, prober: prober}
	var beats sync.WaitGroup
	beats.Go(func() { u.run(ctx) })
	return func() {
		cancel()
		beats.Wait()
	}
}

// run probes the worker until ctx ends, or it's out of service. The first probe comes
// at any time within an interval, so that a pool's workers aren't asked together.
func (u *pulse) run(ctx context.Context) {
	every := u.pool.cfg().Heartbeat.Interval
	wait := rand.N(max(every, 1)) //nolint:gosec // spreads load, protects nothing
	for sleep(ctx, wait) && (every < 0 || u.beat(ctx)) {
		every = u.pool.cfg().Heartbeat.Interval
		if wait = every; every < 0 {
			wait = heartbeatOff
			u.answered()
		}
	}
}

// beat sends one probe, and reports whether to go on.
func (u *pulse) beat(ctx context.Context) bool {
	before := u.pool.load(u.member)
	if !before.ready {
		return false
	}
	sent := time.Now()
	probe, cancel := context.WithTimeout(ctx, u.patience(sent, before.busy > 0))
	defer cancel()
	_, err := u.prober.Probe(probe)
	if ctx.Err() != nil {
		return false
	}
	if err == nil || errors.Is(err, ErrPaused) {
		u.answered()
		return true
	}
	if u.silent.IsZero() {
		u.silent = sent
	}
	idle, cause := u.hangs(before, err)
	return cause == nil || !u.pool.endHung(ctx, u, idle, cause)
}

// patience is how long to wait for an answer: no longer than is needed to tell that
// a busy worker has been silent for too long, but never less than an answer may take
// of one that is just coming to itself.
func (u *pulse) patience(now time.Time, busy bool) time.Duration {
	conf := u.pool.cfg().Heartbeat
	if !busy || conf.BusyTimeout == 0 {
		return conf.Timeout
	}
	left := conf.BusyTimeout
	if !u.silent.IsZero() {
		left -= now.Sub(u.silent)
	}
	return min(conf.Timeout, max(left, leastPatience))
}

// hangs decides what an unanswered probe means; a cause says that the worker hangs. One
// that had calls meanwhile may just not get to its answer, as long as a tool holds the
// interpreter's lock.
func (u *pulse) hangs(before load, err error) (idle bool, cause *errdefs.Error) {
	conf := u.pool.cfg().Heartbeat
	after := u.pool.load(u.member)
	if idle = before.busy == 0 && after == before; !idle {
		u.missed = 0
		if after.busy > 0 && conf.BusyTimeout > 0 && time.Since(u.silent) >= conf.BusyTimeout {
			cause = errdefs.New(errdefs.WorkerHung, "the worker gave no sign of life for %s while it ran a call", conf.BusyTimeout)
		}
		return idle, cause
	}
	u.missed++
	u.pool.log.Warn("worker didn't answer", "worker", u.member.id, "missed", u.missed, "error", err)
	if u.missed >= conf.MaxMissed {
		cause = errdefs.New(errdefs.WorkerHung, "the worker had nothing to do and left %d probes unanswered, each for %s", u.missed, conf.Timeout)
	}
	return idle, cause
}

func (u *pulse) answered() { u.missed, u.silent = 0, time.Time{} }

// load is what a worker does at a moment.
type load struct {
	ready bool
	busy  int
	calls uint64 // started on it, ever
}

func (p *pool) load(m *member) load {
	p.mu.Lock()
	defer p.mu.Unlock()
	return load{ready: m.state == WorkerReady, busy: m.busy, calls: m.calls.Load()}
}

// endHung kills a worker that hangs, unless its state has changed since: then the
// next probe tells more.
func (p *pool) endHung(ctx context.Context, u *pulse, idle bool, cause *errdefs.Error) bool {
	m := u.member
	cause = cause.At(errdefs.Where{Node: p.node, Pool: p.name, Worker: string(m.id)})
	if !p.withdrawIf(m, WorkerDraining, func() bool { return idle == (m.busy == 0) }) {
		return false
	}
	p.event.emit(EventWorkerHung, m.id, cause.Reason, cause.Message)
	p.end(ctx, m, u.worker, cause)
	return true
}
