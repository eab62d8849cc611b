package lane

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// sendAhead is how many bytes of chunks a call queues before Send waits.
const sendAhead = 64 << 10

// stream is one open call on one side of a lane: what Call and Inbound have in
// common. Lane.mu guards what stands below it.
type stream struct {
	lane     *Lane
	id       uint64
	served   bool // the other side opened it
	deadline time.Time
	at       errdefs.Where

	in    inbox
	out   outbox
	ready chan struct{} // capacity 1: look again; nil once the last message was taken
	room  chan struct{} // capacity 1: Send may look again; made by the first one that waits

	cause    error                // why nobody wants it any more: cancelled, or past its deadline
	over     bool                 // End came or went, or the lane ended
	closed   bool                 // this side sends no more chunks
	progress *snakepitv1.Progress // the newest report: to be given, or to be sent
	given    bool                 // take gave a report last
	reported time.Time            // when the last progress frame went out

	cancel     string // the reason of a cancel frame that's due; empty: none
	creditDue  int64  // of a credit frame that's due
	inData     bool   // waits in Lane.data
	inControl  bool   // waits in Lane.control
	inProgress bool   // waits in Lane.progress
}

// unwanted says that the call was cancelled or is past its deadline.
func (s *stream) unwanted() bool { return s.cause != nil }

// wait blocks until ch is signalled. When the call's own deadline passes it
// reports true.
func (s *stream) wait(ctx context.Context, ch <-chan struct{}) (late bool, err error) {
	var timer <-chan time.Time
	if !s.deadline.IsZero() {
		if until, ok := ctx.Deadline(); !ok || until.After(s.deadline) {
			t := time.NewTimer(time.Until(s.deadline))
			defer t.Stop()
			timer = t.C
		}
	}
	select {
	case <-ch:
		return false, nil
	case <-timer:
		return true, nil
	case <-ctx.Done():
	}
	if !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
		return true, nil
	}
	return false, contextError(ctx, s.at)
}

// send queues one chunk as soon as fewer than sendAhead bytes wait. closedErr is
// what it returns once the call is over.
func (s *stream) send(ctx context.Context, payload []byte, closedErr error) (late bool, err error) {
	l := s.lane
	if len(payload) > l.peer.MaxPayload {
		return false, tooLarge("a chunk", len(payload), l.peer.MaxPayload).At(s.at)
	}
	for {
		l.mu.Lock()
		wait, err := s.push(payload, closedErr)
		l.mu.Unlock()
		if err != nil {
			return false, err
		}
		if wait == nil {
			l.flush()
			return false, nil
		}
		if late, err := s.wait(ctx, wait); late || err != nil {
			return late, err
		}
	}
}

func (s *stream) push(payload []byte, closedErr error) (wait <-chan struct{}, err error) {
	switch {
	case s.cause != nil:
		return nil, s.cause
	case s.over || s.closed:
		return nil, closedErr
	case s.out.queued >= sendAhead:
		if s.room == nil {
			s.room = make(chan struct{}, 1)
		}
		return s.room, nil
	}
	s.out.push(item{kind: kindData, payload: payload})
	s.lane.schedule(s)
	return nil, nil
}

// take gives the next chunk or progress report, and false when there is none.
// A report comes before a chunk that waits, since it's newer, but not twice in a row.
func (s *stream) take() (Message, bool) {
	if p := s.progress; p != nil && !s.served && (!s.given || s.in.waiting() == 0) {
		s.progress, s.given = nil, true
		return Message{Progress: progressOf(p)}, true
	}
	s.given = false
	payload, ok := s.in.pop()
	if !ok {
		return Message{}, false
	}
	s.lane.giveBack(s)
	return Message{Payload: payload}, true
}

// nudge is a signal on a channel of capacity 1, or on none.
func nudge(ch chan struct{}) {
	if ch == nil {
		return
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}
