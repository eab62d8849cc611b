package host

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// sizing is what a pool needs to change its seats.
type sizing struct {
	wake      chan struct{} // holds one token: something has changed that the steward looks at
	orders    chan order
	batches   *batches
	line      *line
	reloading chan struct{} // filled by the reload that is under way

	generation *atomic.Uint64 // how many reloads have begun
}

// order is what others want of a pool's steward. It runs in its goroutine.
type order func(ctx context.Context, st *steward)

func newSizing() sizing {
	return sizing{
		wake:      make(chan struct{}, 1),
		orders:    make(chan order),
		batches:   newBatches(),
		line:      newLine(),
		reloading: make(chan struct{}, 1),

		generation: new(atomic.Uint64),
	}
}

// poke makes the steward look at the pool. It doesn't block.
func (p *pool) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// steward is a pool's own goroutine: it alone creates and retires seats. Nothing
// that it decides is on the way of a call.
type steward struct {
	pool   *pool
	shared *seats
	group  *errgroup.Group // of all seats of the host

	list      []*seat // in order, without the retired ones
	guests    []*seat // likewise, and beside those that the pool wants
	next      int     // the number of the next seat
	exchanges []*exchange
	reload    *reload // nil: none is under way
	trend     trend
	wear      wear
}

// govern keeps the pool as its configuration wants it, until ctx ends. left are the
// survivors that have seats already.
func (p *pool) govern(ctx context.Context, group *errgroup.Group, left []*member, s *seats) {
	st := &steward{pool: p, shared: s, group: group}
	for _, m := range left {
		st.open(ctx, m)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.wake:
		case <-timer.C:
		case o := <-p.orders:
			o(ctx, st)
		case <-ctx.Done():
			st.close()
			return
		}
		if next := st.look(ctx, time.Now()); next.set {
			timer.Reset(time.Until(next.at))
		} else {
			timer.Stop()
		}
	}
}

// tell gives an order to the pool's steward and waits until it's carried out.
// stopped is closed when there are no stewards any more.
func (p *pool) tell(ctx context.Context, stopped <-chan struct{}, o order) error {
	done := make(chan struct{})
	select {
	case p.orders <- func(ctx context.Context, st *steward) { defer close(done); o(ctx, st) }:
		<-done
		return nil
	case <-stopped:
		return errDraining()
	case <-ctx.Done():
		return ended(ctx, "before pool "+p.name+" could be changed")
	}
}

// alarm is the earliest of the times at which the steward must look again.
type alarm struct {
	at  time.Time
	set bool
}

func (a *alarm) before(t time.Time) {
	if !a.set || t.Before(a.at) {
		a.at, a.set = t, true
	}
}

// look does whatever there is to do now.
func (st *steward) look(ctx context.Context, now time.Time) (next alarm) {
	st.settle()
	st.advance(ctx)
	st.follow(now, &next)
	st.fit(ctx)
	st.recycle(ctx, now, &next)
	st.seeGuestsOff(now, &next)
	return next
}

// fit opens or retires seats until there are as many as the pool wants, apart from
// those that are to take another's place.
func (st *steward) fit(ctx context.Context) {
	surplus := len(st.list) - st.arriving() - st.pool.wanted()
	for range -surplus {
		st.open(ctx, nil)
	}
	if surplus > 0 {
		for _, s := range st.dispensable()[:surplus] {
			st.dismiss(s)
		}
	}
}

// open adds a seat; survivor is who sits there already.
func (st *steward) open(ctx context.Context, survivor *member) *seat {
	s := &seat{expects: survivor, member: survivor}
	st.list = append(st.list, s)
	st.begin(ctx, s)
	return s
}

// begin gives a seat the next number and keeps a worker in it.
func (st *steward) begin(ctx context.Context, s *seat) {
	tenure, retire := context.WithCancel(ctx)
	s.number, s.retire, s.patience = st.next, retire, drainBound
	st.next++
	st.group.Go(func() error {
		defer retire()
		return st.pool.keep(ctx, tenure, s, st.shared)
	})
}

// release ends a seat's tenure: its worker is drained and stopped. It's no longer
// the steward's.
func (st *steward) release(s *seat, patience time.Duration) {
	isIt := func(o *seat) bool { return o == s }
	st.list, st.guests = slices.DeleteFunc(st.list, isIt), slices.DeleteFunc(st.guests, isIt)
	st.pool.mu.Lock()
	s.retired, s.patience = true, patience
	st.pool.mu.Unlock()
	s.retire()
}

// dismiss releases a seat that isn't needed any more, and calls off the exchange
// that would have replaced it.
func (st *steward) dismiss(s *seat) {
	for _, x := range st.exchanges {
		if x.old == s && !x.taken {
			st.release(x.fresh, drainBound)
			x.taken = true
		}
	}
	st.release(s, drainBound)
}

// dispensable lists the seats that aren't to take another's place, those that
// would be missed least first: without a worker, without a call, home of the
// fewest sessions, the newest.
func (st *steward) dispensable() []*seat {
	list := slices.DeleteFunc(slices.Clone(st.list), st.arrives)
	slices.Reverse(list)
	p := st.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(list, func(a, b *seat) int {
		return slices.Compare(a.value(), b.value())
	})
	return list
}

// value is what makes a seat worth keeping, in order of weight; the pool's mutex is held.
func (s *seat) value() []int {
	m := s.member
	if m == nil || m.state != WorkerReady {
		return []int{0}
	}
	return []int{1, m.sessions, m.busy}
}

// close answers all who wait for the steward.
func (st *steward) close() {
	for _, x := range st.exchanges {
		x.finish(errDraining())
	}
	if r := st.reload; r != nil {
		r.stop(errDraining())
		close(r.steps)
	}
}

// wanted is how many workers the pool should have.
func (p *pool) wanted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.want
}
