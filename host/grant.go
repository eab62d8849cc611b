package host

import (
	"sync/atomic"
	"time"
)

// grant is a checkout: one slot of one worker, or a place behind those, until it's
// released.
type grant struct {
	released atomic.Bool
	member   *member
	ticket   *ticket // of the call; only what never changes of it is read
	worker   Worker
	epoch    atomic.Uint64 // of the call's session; zero: none
	local    atomic.Bool   // that never leaves its node

	// The pool's mutex guards these.
	deaf  bool // its call doesn't stop
	stall stall
	place link[*grant] // among the member's running or waiting

	// begun is closed once the call has a slot: until then it waits in its worker,
	// behind those that run there. Nil: it has had one from the start.
	begun chan struct{}
	at    time.Time // when begun was closed; set before that
}

// slotAt says whether the call waited in its worker, and if so since when it has had a
// slot; zero: it hasn't.
func (g *grant) slotAt() (at time.Time, waited bool) {
	if g.begun == nil {
		return at, false
	}
	select {
	case <-g.begun:
		return g.at, true
	default:
		return at, true
	}
}

// grant takes a slot of m, or else a place behind its running calls.
func (p *pool) grant(m *member, t *ticket) *grant {
	g := &grant{member: m, worker: m.worker, ticket: t}
	g.place.value = g
	m.enter()
	if m.busy <= m.slots {
		m.running.push(&g.place)
	} else {
		g.begun = make(chan struct{})
		m.behind.push(&g.place)
	}
	p.list(m)
	return g
}

// release frees a grant's slot; the second time it does nothing.
func (p *pool) release(g *grant) {
	if g.released.Swap(true) {
		return
	}
	var out answers
	p.mu.Lock()
	p.takeBack(g)
	p.handOn(g.member, &out)
	g.member.checkQuiet()
	p.mu.Unlock()
	out.send()
}

// takeBack ends a grant. The first of the calls that wait in its worker has its slot then.
func (p *pool) takeBack(g *grant) {
	m := g.member
	m.leave(g)
	p.unstall(g)
	if m.behind.remove(&g.place) {
		return
	}
	m.running.remove(&g.place)
	if next := m.behind.pop(); next != nil {
		m.running.push(next)
		next.value.at = time.Now()
		close(next.value.begun)
	}
}

// handOn gives the free slots of m to those who wait, and lists it where its room
// can be found. The caller sends the answers after unlocking.
func (p *pool) handOn(m *member, out *answers) {
	if m.state != WorkerReady && m.state != WorkerDraining || m.ended() {
		return
	}
	for w := p.choose(m); w != nil; w = p.choose(m) {
		w.ticket.drop()
		p.forgetWait(w)
		w.given = p.grant(m, w.ticket)
		out.add(w)
		if w.ticket.class == classNested && !m.available() {
			break // whoever is told next might reach the worker first, and take its slot there
		}
	}
	p.list(m)
}

// choose takes the call that m is to run next out of the queues; nil when it has no
// room, or nobody waits for it.
func (p *pool) choose(m *member) *waiter {
	if m.state == WorkerDraining {
		return m.lastPinned()
	}
	if !m.available() && (!p.roomBehind(m) || p.queue.nested()) {
		return nil
	}
	if m.pins.preferred(&p.queue, p.ready) {
		return m.pins.queue.pop()
	}
	return p.queue.pop()
}

// idlest is a worker with a free slot: one that has nothing to do, the latest used
// first, else the one that has run calls for longest without being given one; nil:
// there is none. A call whose session gets a home there takes the one that has had
// nothing to do for longest, or all homes would be at one worker.
func (p *pool) idlest(settles bool) *member {
	switch {
	case settles && p.idle.tail != nil:
		return p.idle.tail.value
	case p.idle.head != nil:
		return p.idle.head.value
	case p.partly.head != nil:
		return p.partly.head.value
	}
	return nil
}

// spareRoom is a worker that may be given a call beyond its slots; nil: there is none.
func (p *pool) spareRoom() *member {
	for l := p.full.head; l != nil; l = p.full.head {
		if p.roomBehind(l.value) {
			return l.value
		}
		p.full.remove(l) // it had room when it was listed
	}
	return nil
}

// roomBehind reports whether a worker may be given a call beyond its slots, so that
// it needn't wait for the next when one ends. Nobody goes before a nested call that
// waits for this worker.
func (p *pool) roomBehind(m *member) bool {
	return m.state == WorkerReady && m.busy < m.slots+p.cfg().Prefetch && !m.pins.nested()
}

// list puts a worker where its room is found: at the front of those with nothing to
// do, or at the end of the others, so that calls spread.
func (p *pool) list(m *member) {
	p.unlist(m)
	switch {
	case m.state != WorkerReady:
	case m.busy == 0:
		p.idle.pushFront(&m.free)
	case m.busy < m.slots:
		p.partly.push(&m.free)
	case p.roomBehind(m):
		p.full.push(&m.free)
	}
}

func (p *pool) unlist(m *member) {
	if m.free.in != nil {
		m.free.in.remove(&m.free)
	}
}
