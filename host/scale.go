package host

import (
	"fmt"
	"time"
)

// windows is how many parts IdleAfter has: a pool shrinks at most one part later.
const windows = 4

// usage is how many slots of a pool run a call; the pool's mutex guards it.
type usage struct {
	now  int
	peak int // since the steward looked last
}

func (u *usage) enter() {
	u.now++
	u.peak = max(u.peak, u.now)
}

func (u *usage) leave() { u.now-- }

// trend is what the steward remembers of a pool's load.
type trend struct {
	unsteady bool         // seats without a worker: what it's like with them remains to be seen
	since    time.Time    // when the last of them had one
	peaks    [windows]int // slots in use at most, in each of the last parts of IdleAfter
	newest   int
	noted    time.Time // when the newest began
}

// follow makes a pool with a range grow and shrink with its load.
func (st *steward) follow(now time.Time, next *alarm) {
	s := st.pool.cfg().Scale
	if s.Max == 0 {
		return
	}
	if !st.steady(now) {
		return // a seat without a worker tells when it has one
	}
	if n := st.growth(s, now, next); n > 0 {
		st.pool.resize(n, EventPoolGrown)
		st.trend.unsteady = true
		return
	}
	st.shrink(s, now, next)
}

// steady reports whether all seats have a worker in service. One decision is made
// at a time: until the workers of the last one are there, none is.
func (st *steward) steady(now time.Time) bool {
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready < p.want {
		st.trend.unsteady = true
		return false
	}
	if st.trend.unsteady {
		st.trend = trend{since: now, noted: now}
		for i := range st.trend.peaks {
			st.trend.peaks[i] = p.slots()
		}
	}
	return true
}

// slots counts those of workers in service; the pool's mutex is held.
func (p *pool) slots() (n int) {
	for _, m := range p.members {
		if m.state == WorkerReady {
			n += m.slots
		}
	}
	return n
}

// growth is by how many workers the pool should grow now: by as many as the calls
// that wait need, but at most to twice as many. They must have waited for
// QueueDelay since the last workers came, unless there is none at all.
func (st *steward) growth(s Scale, now time.Time, next *alarm) int {
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting, since := p.longestWait()
	if waiting == 0 {
		p.alert = p.want < s.Max
		return 0
	}
	if p.want >= s.Max {
		return 0
	}
	if p.want == 0 {
		return 1
	}
	if since.Before(st.trend.since) {
		since = st.trend.since
	}
	if due := since.Add(s.QueueDelay); now.Before(due) {
		next.before(due)
		return 0
	}
	perWorker := max(p.slots()/p.want, 1)
	return min((waiting+perWorker-1)/perWorker, p.want, s.Max-p.want)
}

// longestWait says how many calls wait for a worker, whichever it is, and since when
// the first does; the pool's mutex is held.
func (p *pool) longestWait() (int, time.Time) {
	if p.arrivals.head == nil {
		return 0, time.Time{}
	}
	return p.arrivals.count, p.arrivals.head.value.since
}

// arrive notes that a call has begun to wait, and tells the steward if it wants to
// know; the pool's mutex is held. More workers would be no help to a call that waits
// for a certain one.
func (p *pool) arrive(w *waiter) {
	if w.home != nil {
		return
	}
	w.since, w.order.value = time.Now(), w
	p.arrivals.push(&w.order)
	if p.alert {
		p.alert = false
		p.poke()
	}
}

// shrink retires the workers that the load of the last IdleAfter had no need for.
// Calls go round all workers, so that each of many has something to do now and
// then: what counts is how many slots were in use at once. A worker that runs a
// call or is the home of a session is left alone: what the session has in memory
// there is lost only when the session's time has run out.
func (st *steward) shrink(s Scale, now time.Time, next *alarm) {
	p := st.pool
	if p.wanted() <= s.Min {
		return
	}
	part := max(s.IdleAfter/windows, time.Millisecond)
	if due := st.trend.noted.Add(part); now.Before(due) {
		next.before(due)
		return
	}
	next.before(now.Add(part))
	idle := st.idle(max(st.needed(now), s.Min))
	if len(idle) == 0 {
		return
	}
	p.resize(-len(idle), EventPoolShrunk)
	for _, m := range idle {
		st.dismiss(m)
	}
}

// needed begins a new part, and says how many workers the last ones had use for.
func (st *steward) needed(now time.Time) int {
	p, t := st.pool, &st.trend
	p.mu.Lock()
	defer p.mu.Unlock()
	t.newest = (t.newest + 1) % windows
	t.peaks[t.newest], t.noted = p.usage.peak, now
	p.usage.peak = p.usage.now
	most := 0
	for _, n := range t.peaks {
		most = max(most, n)
	}
	perWorker := max(p.slots()/max(p.want, 1), 1)
	return (most + perWorker - 1) / perWorker
}

// idle picks workers that nobody uses, those beyond the number to keep.
func (st *steward) idle(keep int) (idle []*seat) {
	list := st.dispensable()
	surplus := len(list) - keep
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range list {
		m := s.member
		if len(idle) < surplus && m != nil && m.state == WorkerReady && m.busy == 0 && m.sessions == 0 && !st.exchanged(s) {
			idle = append(idle, s)
		}
	}
	return idle
}

// resize changes how many workers the pool wants.
func (p *pool) resize(by int, kind EventKind) {
	p.mu.Lock()
	was := p.want
	p.want += by
	if was == 0 {
		p.startErr = nil // of another time
	}
	now := p.want
	changed := p.renewChanged()
	p.mu.Unlock()
	close(changed)
	p.event.emit(kind, "", "", fmt.Sprintf("from %d to %d workers", was, now))
	p.log.Info("pool resized", "from", was, "to", now)
}

// rising reports whether a pool that may have no workers starts its first: a call
// that waits for it isn't refused meanwhile.
func (p *pool) rising() bool {
	if p.cfg().Scale.Max == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && p.ready == 0 && p.startErr == nil
}

// atFirst is the number of workers that a pool begins with. One that may have none
// begins with one all the same: that is how it learns its tools, and whether its
// adapter can start.
func (p PoolConfig) atFirst() int {
	if p.Scale.Max == 0 {
		return p.Size
	}
	return max(p.Scale.Min, 1)
}

// fitted is n within the bounds of the pool's size.
func (p PoolConfig) fitted(n int) int {
	if p.Scale.Max == 0 {
		return p.Size
	}
	return min(max(n, p.Scale.Min), p.Scale.Max)
}
