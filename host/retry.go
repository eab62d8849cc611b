package host

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// delay is the pause before an attempt; pauses is how many there were before.
func (r Retry) delay(pauses int) time.Duration {
	d := r.MaxDelay
	if pauses < 32 && r.Backoff < r.MaxDelay>>pauses {
		d = r.Backoff << pauses
	}
	random := time.Duration(float64(d) * max(r.Jitter, 0))
	return d - random + rand.N(random+1) //nolint:gosec // spreads load, protects nothing
}

// tries is how often a call was given to a worker, and how often it may be.
type tries struct {
	offers int // attempts: workers that it was offered to
	reruns int // of an idempotent call, after a crash; each allows one more offer
	pauses int
	looks  int // for the node that has its session, or its tool

	lapsed time.Duration // when this node was first found without a lease, on the host's clock; zero: it has one
}

// mayOffer reports whether the call may be offered to another worker.
func (c *Call) mayOffer() bool {
	return c.tries.offers < c.target.pool.cfg().Retry.Attempts+c.tries.reruns
}

// pause waits before the next attempt, and reports whether there may be one: not
// when the call's time would be over by then. Who met a dead worker goes on to
// another at once the first time: it had its turn, and loses it by waiting.
func (c *Call) pause(ctx context.Context, worker WorkerID, err error, atOnce bool) bool {
	p := c.target.pool
	if !c.mayOffer() || p.breaker.refuses(time.Now(), c.probe.Load()) != nil {
		return false
	}
	var d time.Duration
	if !atOnce {
		d = p.cfg().Retry.delay(c.tries.pauses)
		c.tries.pauses++
	}
	if !time.Now().Add(d).Before(c.deadline) {
		return false
	}
	p.event.emit(EventCallRetried, worker, errdefs.ReasonOf(err), fmt.Sprintf("call %s of tool %s, attempt %d after %s", c.id, c.req.Tool, c.tries.offers+1, d))
	return d == 0 || c.rest(ctx, d)
}

// rest waits for d, or less when ctx ends or the host can't wait, and reports whether
// it did in full.
func (c *Call) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-c.host.stopping:
	}
	return false
}

// retry gives a call to a worker once more, when the one that had it never ran it,
// or crashed and the call is idempotent. Among several nodes, so it does when the
// session or its node is gone.
func (c *Call) retry(ctx context.Context, a *attempt, err error) bool {
	again := c.again
	if again == nil || !c.mayRerun(a, err) {
		return false
	}
	a.releaseIfDone()
	if a.away() || c.strays(err) {
		a.run.Cancel(err)
		return c.host.routes.pause(ctx, c) && again(ctx) == nil
	}
	return c.pause(ctx, a.grant.member.id, err, false) && again(ctx) == nil
}

// strays reports whether err says that the call is to be tried on another node.
func (c *Call) strays(err error) bool { return c.host.routes != nil && !c.handed && movedOn(err) }

// mayRerun decides; a rerun is counted. What another node has started it has also
// retried, and rerun, as far as it could: it's for what is lost with that node.
func (c *Call) mayRerun(a *attempt, err error) bool {
	if a.away() {
		return movedOn(err) && c.idempotent() && c.rerun()
	}
	if neverReached(err) || c.strays(err) && !errdefs.MayHaveRun(err) {
		return true
	}
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest were the call's own fault
	case errdefs.WorkerCrashed, errdefs.WorkerHung:
		return c.idempotent() && c.rerun()
	}
	return c.strays(err) && c.idempotent() && c.rerun()
}

// rerun counts another run of a call that may have run, unless there were enough.
func (c *Call) rerun() bool {
	most := 1
	if p := c.target.pool; p != nil {
		most = p.cfg().Barrier.Retries
	}
	if c.tries.reruns >= most {
		return false
	}
	c.tries.reruns++
	return true
}

func (c *Call) idempotent() bool { return c.req.Idempotent || c.target.tool.Idempotent }
