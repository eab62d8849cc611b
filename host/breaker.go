package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// BreakerState is whether a pool's breaker lets calls through.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed   BreakerState = "closed"    // all calls
	BreakerOpen     BreakerState = "open"      // none
	BreakerHalfOpen BreakerState = "half_open" // a few, to see whether it's over
)

// BreakerStatus is how a pool's breaker stands.
type BreakerStatus struct {
	State    BreakerState
	Failures int       // in a row: crashes, hangs and failed starts
	RetryAt  time.Time // when it lets calls through again; zero unless it's open
}

const (
	// oneKill is how close together SIGKILLs are that have one cause: the shim's end,
	// a kernel short of memory, an operator. They count as one failure.
	oneKill = 250 * time.Millisecond
	// probeRetry is what a caller is told who comes while the probes are under way.
	probeRetry = time.Second
)

// breaker refuses a pool's calls while its workers keep crashing. Calls ask it
// without a lock as long as nothing is wrong.
type breaker struct {
	pool  *pool
	quiet atomic.Bool // closed, with no failure since the last success
	shut  atomic.Bool // not closed

	mu       sync.Mutex // guards all below
	state    BreakerState
	failures int
	newest   error     // the newest failure; not nil unless it's closed and quiet
	starts   int       // failures that were starts
	lastKill time.Time // the newest SIGKILL's
	retryAt  time.Time // open: until then no call; half open: until then no further ones
	round    uint64    // grows when probes are let through anew; a probe's number
	probes   int       // of this round, under way or passed
	passed   int       // probes that ended well
}

func newBreaker(p *pool) *breaker {
	b := &breaker{pool: p, state: BreakerClosed}
	b.quiet.Store(true)
	return b
}

// admit lets a call through or fails with circuit_open. A round that isn't zero
// makes the call a probe, which is given back or succeeds.
func (b *breaker) admit(now time.Time) (round uint64, err error) {
	if !b.shut.Load() {
		return 0, nil
	}
	round, first, err := b.admitSlowly(now)
	if first {
		b.tell(EventBreakerHalf, "a call is let through to see whether it's over")
	}
	return round, err
}

func (b *breaker) admitSlowly(now time.Time) (round uint64, first bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	conf := b.pool.cfg().Breaker
	left := b.retryAt.Sub(now)
	switch {
	case b.state == BreakerClosed || conf.Threshold < 0:
		return 0, false, nil
	case b.state == BreakerHalfOpen && b.probes < conf.Probes:
		b.probes++
		return b.round, false, nil
	case b.state == BreakerHalfOpen && left > 0:
		return 0, false, b.refusal(min(left, probeRetry))
	case left > 0:
		return 0, false, b.refusal(left)
	}
	// It's time for the first probe, or for one more, since those under way take long.
	first = b.state == BreakerOpen
	b.state, b.retryAt = BreakerHalfOpen, now.Add(conf.Reset)
	b.round++
	b.probes, b.passed = 1, 0
	return b.round, first, nil
}

func (b *breaker) refusal(left time.Duration) error {
	e := errdefs.Wrap(errdefs.CircuitOpen, b.newest, "pool %s refuses calls, since a worker crashed, hung or couldn't start %d times in a row", b.pool.name, b.failures)
	e.RetryAfter = left
	e.Hint = "try again in " + left.Round(time.Millisecond).String()
	return e
}

// refuses fails with circuit_open when it has opened since a call was let through
// that isn't a probe.
func (b *breaker) refuses(now time.Time, probe uint64) error {
	if probe != 0 || !b.shut.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.retryAt.Sub(now); b.state == BreakerOpen && left > 0 && b.pool.cfg().Breaker.Threshold >= 0 {
		return b.refusal(left)
	}
	return nil
}

// giveBack makes room for another probe: this one ended without telling anything.
func (b *breaker) giveBack(round uint64) {
	if round == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == BreakerHalfOpen && b.round == round {
		b.probes--
	}
}

// succeeded notes that a worker has answered a call; what the tool said doesn't matter.
func (b *breaker) succeeded(round uint64) {
	if b.quiet.Load() {
		return
	}
	b.mu.Lock()
	closed := b.succeededLocked(round)
	b.mu.Unlock()
	if closed {
		b.tell(EventBreakerClosed, "")
	}
}

func (b *breaker) succeededLocked(round uint64) (closed bool) {
	switch {
	case b.state == BreakerClosed:
		b.calm()
	case b.state == BreakerHalfOpen && round != 0:
		if b.passed++; b.passed < b.pool.cfg().Breaker.Probes {
			return false
		}
		b.state = BreakerClosed
		b.calm()
		b.shut.Store(false)
		return true
	}
	return false
}

func (b *breaker) calm() {
	b.failures, b.starts, b.newest = 0, 0, nil
	b.quiet.Store(true)
}

// crashed counts a worker that crashed or hung. killed: by a SIGKILL that isn't ours.
func (b *breaker) crashed(now time.Time, why error, killed bool) {
	b.mu.Lock()
	same := killed && now.Sub(b.lastKill) < oneKill
	opened := !same && b.fail(now, why, false)
	if killed && !same {
		b.lastKill = now
	}
	b.mu.Unlock()
	if opened {
		b.tell(EventBreakerOpened, why.Error())
	}
}

// startFailed counts a worker that couldn't start.
func (b *breaker) startFailed(now time.Time, why error) {
	b.mu.Lock()
	opened := b.fail(now, why, true)
	b.mu.Unlock()
	if opened {
		b.tell(EventBreakerOpened, why.Error())
	}
}

func (b *breaker) fail(now time.Time, why error, start bool) (opened bool) {
	b.quiet.Store(false)
	b.failures++
	b.newest = why
	if start {
		b.starts++
	}
	conf := b.pool.cfg().Breaker
	if conf.Threshold < 0 || b.state == BreakerOpen || b.state == BreakerClosed && b.failures < conf.Threshold {
		return false
	}
	b.state, b.retryAt = BreakerOpen, now.Add(conf.Reset)
	b.shut.Store(true)
	return true
}

// started notes that a worker could start, so that starts which failed before don't
// count any more.
func (b *breaker) started() {
	if b.quiet.Load() {
		return
	}
	b.mu.Lock()
	closed := b.startedLocked()
	b.mu.Unlock()
	if closed {
		b.tell(EventBreakerClosed, "a worker could start")
	}
}

func (b *breaker) startedLocked() (closed bool) {
	b.failures, b.starts = b.failures-b.starts, 0
	if closed = b.state == BreakerOpen && b.failures < b.pool.cfg().Breaker.Threshold; closed {
		b.state = BreakerClosed
		b.shut.Store(false)
	}
	if b.state == BreakerClosed && b.failures == 0 {
		b.calm()
	}
	return closed
}

func (b *breaker) tell(kind EventKind, detail string) {
	b.pool.event.emit(kind, "", "", detail)
}

func (b *breaker) status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BreakerStatus{State: b.state, Failures: b.failures}
	if b.state == BreakerOpen {
		s.RetryAt = b.retryAt
	}
	return s
}
