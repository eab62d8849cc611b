package host

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// turnWaiter is a call, or a close, that waits for its turn.
type turnWaiter struct {
	place  link[*turnWaiter]
	turn   chan struct{} // closed when the turn has come
	alone  bool          // it excludes all others, whatever the session is
	shared bool          // set when it has come: others have theirs at the same time
	after  *turnWaiter   // who is told next
}

// take waits for the session's turn, in order of arrival. Calls of a concurrent
// session have it together; alone asks for one that excludes all others. It fails
// with session_expired when the session's time has run out, and with worker_busy for
// a call that would rather fail than wait; errStale says that the session has been
// closed meanwhile, and must be looked up again.
func (s *session) take(ctx context.Context, t *ticket, alone bool) error {
	w, err := s.arrive(t, alone)
	if w == nil {
		return err
	}
	select {
	case <-w.turn:
		return s.checkTurn()
	case <-ctx.Done():
		err = ended(ctx, "while it waited for its session's turn")
	case <-t.expired():
		err = errdefs.New(errdefs.QueueTimeout, "earlier calls of its session took longer than %s", t.pool.cfg().QueueTimeout)
	}
	s.leaveQueue(w)
	return err
}

// arrive takes the turn, or queues for it. A call whose ancestor has it, in a
// concurrent session, doesn't stand behind those who wait for that ancestor's end.
func (s *session) arrive(t *ticket, alone bool) (*turnWaiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stale(); err != nil {
		return nil, err
	}
	shared := !alone && s.shares()
	if s.admits(shared) && (s.queue.head == nil || shared && t.line.has(s.id)) {
		s.hold(shared)
		return nil, nil
	}
	if !alone && s.failsFast(t) {
		return nil, errdefs.New(errdefs.WorkerBusy, "an earlier call of its session runs")
	}
	if err := t.wait(); err != nil {
		return nil, err
	}
	w := &turnWaiter{turn: make(chan struct{}), alone: alone}
	w.place.value = w
	s.queue.push(&w.place)
	return w, nil
}

func (s *session) failsFast(t *ticket) bool {
	own := t.pool.cfg().Affinity
	if s.phase == phaseOpen {
		own = s.record.Affinity
	}
	return own == AffinityStrictFailFast || t.affinity == AffinityStrictFailFast
}

// shares reports whether calls of the session don't take turns.
func (s *session) shares() bool { return s.phase == phaseOpen && s.record.Concurrent }

func (s *session) admits(shared bool) bool {
	return s.holders == 0 || shared && s.shared
}

func (s *session) hold(shared bool) {
	s.holders++
	s.shared = shared
}

// admit gives the turn to those who are next, and returns the first of them; they
// are told by tellTurns, once the mutex is free.
func (s *session) admit() (first *turnWaiter) {
	var last *turnWaiter
	for l := s.queue.head; l != nil; l = s.queue.head {
		w := l.value
		w.shared = !w.alone && s.shares()
		if !s.admits(w.shared) {
			return first
		}
		s.queue.remove(l)
		s.hold(w.shared)
		if last == nil {
			first = w
		} else {
			last.after = w
		}
		last = w
	}
	return first
}

func tellTurns(w *turnWaiter) {
	for w != nil {
		next := w.after
		close(w.turn)
		w = next
	}
}

// checkTurn gives the turn back when it's of no use any more.
func (s *session) checkTurn() error {
	s.mu.Lock()
	err := s.stale()
	s.mu.Unlock()
	if err != nil {
		s.pass()
	}
	return err
}

// leaveQueue gives up waiting. A turn that came in the same moment is passed on; who
// stood behind may not have to wait any more.
func (s *session) leaveQueue(w *turnWaiter) {
	s.mu.Lock()
	queued := s.queue.remove(&w.place)
	var next *turnWaiter
	if queued {
		next = s.admit()
	}
	s.mu.Unlock()
	tellTurns(next)
	if !queued {
		s.pass()
	}
}

// takeBefore waits until nobody has the turn, before all who wait for theirs, for as
// long as ctx lasts. It has no ticket: it isn't a call.
func (s *session) takeBefore(ctx context.Context) error {
	w := &turnWaiter{turn: make(chan struct{}), alone: true}
	w.place.value = w
	s.mu.Lock()
	err := s.stale()
	free := err == nil && s.admits(false)
	if free {
		s.hold(false)
	} else if err == nil {
		s.queue.pushFront(&w.place)
	}
	s.mu.Unlock()
	if err != nil || free {
		return err
	}
	select {
	case <-w.turn:
		return s.checkTurn()
	case <-ctx.Done():
		s.leaveQueue(w)
		return ended(ctx, "while it waited for the session's calls")
	}
}

// sendAway gives those who wait a turn that's of no use any more: they are told so.
// The session's mutex is held.
func (s *session) sendAway() (first *turnWaiter) {
	for l := s.queue.tail; l != nil; l = s.queue.tail {
		s.queue.remove(l)
		s.holders++
		l.value.after, first = first, l.value
	}
	return first
}

// share lets others have their turns beside that of the call that has just opened a
// concurrent session.
func (s *session) share() {
	s.mu.Lock()
	var next *turnWaiter
	if s.shares() && !s.shared {
		s.shared = true
		next = s.admit()
	}
	s.mu.Unlock()
	tellTurns(next)
}

// pass hands the turn to the next in the queue. Nobody waits and nothing was
// recorded: the session might as well not be there, and it's closed.
func (s *session) pass() { s.passFrom(nil) }

// passFrom is pass for a call that had gone aboard a worker.
func (s *session) passFrom(g *grant) (abandoned bool) {
	s.mu.Lock()
	s.alight(g)
	s.lastUse = time.Now()
	s.holders--
	next := s.admit()
	if s.holders == 0 && s.phase == phaseNew {
		s.phase, abandoned = phaseClosed, true
	}
	s.mu.Unlock()
	tellTurns(next)
	return abandoned
}
