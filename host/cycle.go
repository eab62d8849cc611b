package host

import "github.com/snakepit-go/snakepit/proto/errdefs"

// stall counts what a running call waits for in its own pool: calls that it made,
// directly or through others, and that are in the queue.
type stall struct {
	any  int // of them all
	home int // of those that wait for the call's own worker and no other
}

// noteWait counts a waiter for the calls that it's nested in, and fails with
// call_cycle when it can never be granted a slot: each slot that it might get is held
// by a call that has calls of its own in the queue. Of those this one is the newest.
//
// It's decided where nobody can come to help: every worker that the pool may have is
// there. A tool with a call in the queue counts as waiting for it, whatever else it
// does. A ring through the slots of two pools isn't seen; it ends by queue_timeout.
func (p *pool) noteWait(w *waiter) error {
	if w.ticket.line == nil {
		return nil
	}
	p.countWait(w, 1)
	if !p.stuck() && (w.home == nil || w.home.stuck < w.home.slots || w.home.slots == 0) {
		return nil
	}
	p.countWait(w, -1)
	e := errdefs.New(errdefs.CallCycle, "every slot of pool %s is held by a call that waits for one itself", p.name)
	e.Hint = "give the pool more workers or slots than calls that are nested in each other"
	return e
}

// forgetWait is for a waiter that has left the queue.
func (p *pool) forgetWait(w *waiter) {
	p.arrivals.remove(&w.order)
	if w.ticket.line != nil {
		p.countWait(w, -1)
	}
}

func (p *pool) countWait(w *waiter, n int) {
	for l := w.ticket.line; l != nil; l = l.parent {
		if l.grant != nil && l.grant.member.pool == p {
			p.countStall(l.grant, w.home, n)
		}
	}
}

// countStall changes what a call waits for. One that has ended holds no slot any more.
func (p *pool) countStall(g *grant, home *member, n int) {
	held := g.place.in != nil
	before := g.stall
	g.stall.any += n
	if home == g.member {
		g.stall.home += n
	}
	if held {
		p.stalled += sign(g.stall.any) - sign(before.any)
		g.member.stuck += sign(g.stall.home) - sign(before.home)
	}
}

// unstall is for a call that ends: its slot is held by nobody who waits.
func (p *pool) unstall(g *grant) {
	p.stalled -= sign(g.stall.any)
	g.member.stuck -= sign(g.stall.home)
}

func sign(n int) int { return min(n, 1) }

// stuck reports whether all slots that the pool may ever have are held by calls that
// wait for one. It looks at the workers only when that many calls do.
func (p *pool) stuck() bool {
	if p.stalled < p.ready || p.ready < p.cfg().most() {
		return false
	}
	for _, m := range p.members {
		if m.state == WorkerStarting || m.state == WorkerReady && !m.allStalled() {
			return false
		}
	}
	return true
}

func (m *member) allStalled() bool {
	for l := m.running.head; l != nil; l = l.next {
		if l.value.stall.any == 0 {
			return false
		}
	}
	return m.running.count >= m.slots
}
