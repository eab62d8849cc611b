package host

import (
	"context"
	"sync"
)

// launches bounds how many workers start at once on a host. Where several pools
// wait, they take turns, so that one whose workers never start costs another at
// most the time of one start.
type launches struct {
	limit int

	mu      sync.Mutex // guards all below, and every line, for memory only
	running int
	lines   fifo[*line] // those in which somebody waits; the head is next
}

// line is where a pool's launches wait.
type line struct {
	place   link[*line]
	waiting fifo[chan struct{}] // each closed when its turn has come
}

func newLine() *line {
	l := &line{}
	l.place.value = l
	return l
}

// enter waits until a worker may start; whoever was let in calls leave.
func (s *launches) enter(ctx context.Context, l *line) error {
	w := s.arrive(l)
	if w == nil {
		return nil
	}
	select {
	case <-w.value:
		return nil
	case <-ctx.Done():
		s.giveUp(l, w)
		return ctx.Err()
	}
}

func (s *launches) arrive(l *line) *link[chan struct{}] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running < s.limit {
		s.running++
		return nil
	}
	w := &link[chan struct{}]{value: make(chan struct{})}
	l.waiting.push(w)
	if l.place.in == nil {
		s.lines.push(&l.place)
	}
	return w
}

// giveUp passes on a turn that came in the same moment.
func (s *launches) giveUp(l *line, w *link[chan struct{}]) {
	s.mu.Lock()
	waited := l.waiting.remove(w)
	if l.waiting.count == 0 {
		s.lines.remove(&l.place)
	}
	s.mu.Unlock()
	if !waited {
		s.leave()
	}
}

func (s *launches) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.lines.pop()
	if next == nil {
		s.running--
		return
	}
	l := next.value
	close(l.waiting.pop().value)
	if l.waiting.count > 0 {
		s.lines.push(next)
	}
}
