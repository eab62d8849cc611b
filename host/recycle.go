package host

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	weighEvery  = 5 * time.Second // how often workers' memory is read
	pinnedEvery = 5 * time.Second // how often it's looked whether the sessions that pin a worker have ended
)

// age is how far a worker's time has come; the pool's mutex guards it.
type age struct {
	since time.Time // when it was ready
	ends  time.Time // zero: never
	limit time.Time // when not even a session keeps it
	worn  bool      // it has run its calls
	heavy bool      // it has more memory than it may
}

// wear is what the steward remembers about recycling.
type wear struct {
	setbacks backoff
	resume   time.Time // after a replacement that couldn't start
	weighed  time.Time
}

// begin sets when the time of a worker in service is over; the pool's mutex is held.
func (m *member) begin(r Recycle) {
	a := &m.age
	a.ends, a.limit, a.heavy = time.Time{}, time.Time{}, false
	if r.MaxAge > 0 {
		early := r.Jitter * rand.Float64() * float64(r.MaxAge) //nolint:gosec // spreads load, protects nothing
		a.ends, a.limit = a.since.Add(r.MaxAge-time.Duration(early)), a.since.Add(2*r.MaxAge)
	}
	m.maxCalls = uint64(max(r.MaxCalls, 0))
	if a.worn = m.maxCalls > 0 && m.calls.Load() >= m.maxCalls; a.worn {
		m.maxCalls = 0 // the steward knows
	}
}

// recycle begins to replace those workers whose time is over.
func (st *steward) recycle(ctx context.Context, now time.Time, next *alarm) {
	r := st.pool.cfg().Recycle
	if r.MaxAge <= 0 && r.MaxCalls <= 0 && r.MaxMemory <= 0 {
		return
	}
	st.weigh(r, now, next)
	if now.Before(st.wear.resume) {
		next.before(st.wear.resume)
		return
	}
	room := st.room()
	for _, w := range st.weary(r, now, next) {
		if room <= 0 {
			return // the next one's turn comes when an exchange is over
		}
		room--
		st.replaceWeary(ctx, w)
	}
}

// weary is a worker whose time is over.
type weary struct {
	seat *seat
	id   WorkerID
	why  RecycleCause
	// patience is how long its calls may go on once it's replaced.
	patience time.Duration
}

func (st *steward) weary(r Recycle, now time.Time, next *alarm) (list []weary) {
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range st.list {
		m := s.member
		if m == nil || m.state != WorkerReady || st.exchanged(s) {
			continue
		}
		if why, patience := m.over(r, now, next); why != "" {
			list = append(list, weary{s, m.id, why, patience})
		}
	}
	return list
}

// over says why a worker's time is over; empty: it isn't. A worker that a strict
// session is pinned to stays until that ends, or twice its age is reached: only
// its memory is no excuse.
func (m *member) over(r Recycle, now time.Time, next *alarm) (why RecycleCause, patience time.Duration) {
	old := !m.age.ends.IsZero() && !now.Before(m.age.ends)
	spared := m.pinned() > 0 && (m.age.limit.IsZero() || now.Before(m.age.limit))
	switch {
	case m.age.heavy:
		return RecycleMemory, r.MemoryGrace
	case (old || m.age.worn) && spared:
		next.before(now.Add(pinnedEvery))
		return "", 0
	case old:
		return RecycleAge, drainBound
	case m.age.worn:
		return RecycleCalls, drainBound
	case !m.age.ends.IsZero():
		next.before(m.age.ends)
	}
	return "", 0
}

func (st *steward) replaceWeary(ctx context.Context, w weary) {
	p := st.pool
	st.exchange(ctx, &exchange{
		old: w.seat, patience: w.patience,
		swapped: func() {
			st.wear.setbacks = backoff{}
			p.tally.recycled.add(w.why)
			p.event.emit(EventWorkerRecycled, w.id, "", string(w.why))
			p.log.Debug("worker recycled", "worker", w.id, "because", w.why)
		},
		done: func(err error) {
			if err == nil {
				return
			}
			st.wear.setbacks.failedToStart()
			st.wear.resume = time.Now().Add(st.wear.setbacks.delay())
			p.log.Warn("worker can't be recycled", "worker", w.id, "error", err)
		},
	})
}

// weigh reads the memory of the pool's workers now and then.
func (st *steward) weigh(r Recycle, now time.Time, next *alarm) {
	if r.MaxMemory <= 0 {
		return
	}
	if due := st.wear.weighed.Add(weighEvery); now.Before(due) {
		next.before(due)
		return
	}
	st.wear.weighed = now
	next.before(now.Add(weighEvery))
	for m, w := range st.pool.weighers() {
		heavy := w.RSS() > uint64(r.MaxMemory)
		st.pool.mu.Lock()
		m.age.heavy = heavy
		st.pool.mu.Unlock()
	}
}

func (p *pool) weighers() map[*member]Weigher {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[*member]Weigher{}
	for _, m := range p.members {
		if w, ok := m.worker.(Weigher); ok && m.state == WorkerReady {
			all[m] = w
		}
	}
	return all
}
