package host

import (
	"context"
	"slices"
	"time"
)

// exchange replaces a worker that is in service: a fresh seat is opened, and once
// its worker has taken up service, the old seat is retired. A fresh worker that
// doesn't get there leaves everything as it was.
type exchange struct {
	old, fresh *seat
	patience   time.Duration // that the old worker's calls have
	taken      bool          // the fresh worker has taken over; the old one is on its way out
	swapped    func()        // called when it has; nil: nobody wants to know
	done       func(error)   // called once at the end: the old worker is gone, or the fresh one didn't start; nil: likewise
}

func (x *exchange) finish(err error) {
	if x.done != nil {
		x.done(err)
	}
}

// exchange begins to replace the worker of a seat.
func (st *steward) exchange(ctx context.Context, x *exchange) {
	x.fresh = st.open(ctx, nil)
	st.exchanges = append(st.exchanges, x)
}

// settle takes note of how the exchanges have gone on.
func (st *steward) settle() {
	st.exchanges = slices.DeleteFunc(st.exchanges, func(x *exchange) bool {
		over, err := st.proceed(x)
		if over {
			x.finish(err)
		}
		return over
	})
}

func (st *steward) proceed(x *exchange) (over bool, err error) {
	p := st.pool
	p.mu.Lock()
	arrived := x.fresh.member != nil && x.fresh.member.state == WorkerReady
	fault, gone := x.fresh.fault, x.old.vacant
	p.mu.Unlock()
	switch {
	case x.taken:
		return gone, nil
	case arrived:
		x.taken = true
		st.release(x.old, x.patience)
		if x.swapped != nil {
			x.swapped()
		}
	case fault != nil:
		st.release(x.fresh, 0)
		return true, fault
	}
	return false, nil
}

// arriving counts the seats that are to take another's place.
func (st *steward) arriving() (n int) {
	for _, x := range st.exchanges {
		if !x.taken {
			n++
		}
	}
	return n
}

func (st *steward) arrives(s *seat) bool {
	return slices.ContainsFunc(st.exchanges, func(x *exchange) bool { return x.fresh == s && !x.taken })
}

// exchanged reports whether a seat is part of an exchange that isn't over.
func (st *steward) exchanged(s *seat) bool {
	return slices.ContainsFunc(st.exchanges, func(x *exchange) bool {
		return !x.taken && (x.old == s || x.fresh == s)
	})
}

// room is how many further exchanges may begin. At most a quarter of the workers
// are replaced at once, and never are there more of the old and the new together
// than twice what the pool wants, however long the old ones' calls go on.
func (st *steward) room() int {
	want := st.pool.wanted()
	return min(max(want/4, 1)-st.arriving(), max(want, 1)-len(st.exchanges))
}
