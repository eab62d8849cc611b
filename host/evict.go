package host

import (
	"context"
	"errors"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// evictor is the call for which a worker is killed.
type evictor struct {
	tool  string
	grace time.Duration
}

// evict ends the worker of a call that doesn't stop. Its neighbours may end before
// that, within NeighbourGrace; what goes on for longer is evicted with it.
func (p *pool) evict(ctx context.Context, a *attempt, cause *errdefs.Error) {
	m := a.grant.member
	grace := max(p.cfg().NeighbourGrace, 0)
	m.evictor.CompareAndSwap(nil, &evictor{a.call.req.Tool, grace})
	p.giveUpOn(a.grant)
	idle, _ := p.retreat(m)
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-idle:
	case <-patience.C:
	case <-a.grant.worker.Done():
		return
	}
	p.kill(ctx, a.grant, cause)
}

// giveUpOn counts a call that doesn't stop: nobody waits for it any more.
func (p *pool) giveUpOn(g *grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.released.Load() {
		return
	}
	g.deaf = true
	g.member.deaf++
	g.member.checkQuiet()
}

// retreat has a worker take no more calls, unless that's so already, and reports
// whether it did. idle is closed once no call runs on the worker but those that don't stop.
func (p *pool) retreat(m *member) (idle <-chan struct{}, did bool) {
	did = p.withdraw(m, WorkerDraining)
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.quiet == nil {
		m.quiet = make(chan struct{})
		m.checkQuiet()
	}
	return m.quiet, did
}

// leave takes a released call off the worker's count; the pool's mutex is held.
func (m *member) leave(g *grant) {
	m.busy--
	m.pool.usage.leave()
	m.wear()
	if g.deaf {
		m.deaf--
	}
	m.checkQuiet()
}

// checkQuiet tells whoever waits for the last call of a worker; the pool's mutex is held.
func (m *member) checkQuiet() {
	if m.quiet == nil || m.isQuiet || m.busy > m.deaf {
		return
	}
	if m.serves && m.deaf < m.slots && m.pins != nil && m.pins.queue.count > 0 {
		return // they are next
	}
	m.isQuiet = true
	close(m.quiet)
}

// blame gives the error of a call whose worker was killed for another call: this one
// did nothing wrong.
func (a *attempt) blame(err error) error {
	if a.grant == nil || errdefs.ReasonOf(err) != errdefs.WorkerHung {
		return err
	}
	by := a.grant.member.evictor.Load()
	if by == nil || a.grant.member.pool.hasGivenUpOn(a.grant) {
		return err
	}
	e := errdefs.New(errdefs.WorkerCrashed, "evicted: tool %s on the same worker didn't stop, and the worker was killed %s later", by.tool, by.grace)
	e.Hint = "it was no fault of this call: try again if it's safe"
	var was *errdefs.Error
	if errors.As(err, &was) {
		e.MayHaveRun, e.Exit, e.Where = was.MayHaveRun, was.Exit, was.Where
	}
	return e
}

func (p *pool) hasGivenUpOn(g *grant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return g.deaf
}
