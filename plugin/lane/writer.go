package lane

import (
	"runtime"
	"time"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// progressEvery is how often a call may report how far it has come.
const progressEvery = 50 * time.Millisecond

// writer is what waits to be written. Lane.mu guards it, but whoever has set
// active may use batch, rooms and ends without it: there is one writer at a time.
type writer struct {
	active bool // someone is writing
	left   bool // the carrier holds bytes of the last attempt

	drain    bool
	credit   int64 // of a credit frame for the lane that's due
	pings    []uint64
	pongs    []uint64
	refused  []refusal
	control  []*stream // with a control frame to write
	progress []*stream // with a report to write, sooner or later
	data     ring      // with a frame that costs credit; they take turns

	batch batch
	rooms []chan struct{} // to be signalled when the batch is out
}

// refusal is the end of a call that was never taken.
type refusal struct {
	id  uint64
	err *snakepitv1.Error
}

// clear forgets everything: the lane has ended.
func (w *writer) clear() {
	w.drain, w.credit = false, 0
	w.pings, w.pongs, w.refused, w.control, w.progress = nil, nil, nil, nil, nil
	w.data = ring{}
}

func (w *writer) urgent() bool {
	return w.drain || w.credit > 0 || len(w.control) > 0 || len(w.pings) > 0 || len(w.pongs) > 0 || len(w.refused) > 0
}

// pending says whether there is something to write that nobody is writing.
func (l *Lane) pending() bool {
	w := &l.writer
	return !w.active && !l.ended && (w.left || w.urgent() || l.credit > 0 && w.data.n > 0)
}

// schedule puts a call in the queue where its next frame belongs, if it may go.
func (l *Lane) schedule(s *stream) {
	if s.out.control() {
		l.control(s)
		return
	}
	if !s.inData && s.out.sendable(l.peer.MaxFrame) {
		s.inData = true
		l.writer.data.push(s)
	}
}

func (l *Lane) control(s *stream) {
	if !s.inControl {
		s.inControl = true
		l.writer.control = append(l.writer.control, s)
	}
}

// giveBack schedules the credit that a call owes to the other side.
func (l *Lane) giveBack(s *stream) {
	if s.over {
		return
	}
	if n := s.in.credit(); n > 0 {
		s.creditDue += n
		l.control(s)
	}
}

// flush writes what waits. With one call open and a carrier that never blocks it
// writes at once, which saves a switch of goroutines and 15 % of a small call's
// time; with more the writer's goroutine does it, which writes them together.
func (l *Lane) flush() {
	if l.instant == nil {
		nudge(l.wake)
		return
	}
	l.mu.Lock()
	if !l.pending() || l.writer.left || l.crowded() {
		wake := l.pending()
		l.mu.Unlock()
		if wake {
			nudge(l.wake)
		}
		return
	}
	frames := l.compose(time.Now())
	l.mu.Unlock()
	all, err := l.instant.WriteNow(frames)
	if err != nil {
		l.fail(err)
		return
	}
	if l.wrote(!all) {
		nudge(l.wake)
	}
}

func (l *Lane) crowded() bool { return len(l.calls)+len(l.served) > 1 }

// write is the writer's goroutine. It returns when the lane has ended.
func (l *Lane) write() error {
	for {
		frames, flush, due := l.claim()
		var err error
		switch {
		case flush:
			err = l.instant.Flush()
		case len(frames) > 0:
			err = l.carrier.Write(frames)
		default:
			if !l.rest(due) {
				return nil
			}
			continue
		}
		if err != nil {
			return err // the carrier may have the frames still, so nobody writes again
		}
		l.wrote(false)
	}
}

// claim makes the caller the one who writes, if there is something to write.
// Otherwise due is when the next progress report is, zero when none waits.
func (l *Lane) claim() (frames []*snakepitv1.Frame, flush bool, due time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.writer
	if w.active || l.ended {
		return nil, false, 0
	}
	if w.left {
		w.active = true
		return nil, true, 0
	}
	now := time.Now()
	if frames := l.compose(now); len(frames) > 0 {
		return frames, false, 0
	}
	for _, s := range w.progress {
		if wait := max(s.reported.Add(progressEvery).Sub(now), 1); due == 0 || wait < due {
			due = wait
		}
	}
	return nil, false, due
}

// rest waits for something to write. It reports false when the lane has ended.
func (l *Lane) rest(due time.Duration) bool {
	var timer <-chan time.Time
	if due > 0 {
		t := time.NewTimer(due)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-l.wake:
		runtime.Gosched() // whoever else is about to write joins the batch
	case <-timer:
	case <-l.done:
		return false
	}
	return true
}

// wrote lets the next one write, and says whether there is something.
func (l *Lane) wrote(left bool) bool {
	w := &l.writer
	for i, room := range w.rooms {
		nudge(room)
		w.rooms[i] = nil
	}
	w.rooms = w.rooms[:0]
	w.batch.reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	w.active, w.left = false, left
	return l.pending()
}

// compose makes the next batch: what is urgent, then the calls in turn. When
// there is one, the caller has to write it.
func (l *Lane) compose(now time.Time) []*snakepitv1.Frame {
	w := &l.writer
	l.composeLane(now)
	l.composeReports(now)
	for i, s := range w.control {
		s.inControl = false
		w.control[i] = nil
		l.composeControl(s, now)
	}
	w.control = w.control[:0]
	for w.batch.bytes < batchBytes && l.credit > 0 && w.data.n > 0 {
		s := w.data.pop()
		s.inData = false
		if !s.out.control() && s.out.sendable(l.peer.MaxFrame) {
			l.composeMessage(s, now)
		}
		l.schedule(s)
	}
	w.active = len(w.batch.frames) > 0
	return w.batch.frames
}

// composeLane adds the frames that belong to no open call.
func (l *Lane) composeLane(now time.Time) {
	w := &l.writer
	b := &w.batch
	if w.drain {
		b.control(0, &snakepitv1.Frame{Kind: &snakepitv1.Frame_Drain{Drain: &snakepitv1.Drain{}}})
	}
	if w.credit > 0 {
		b.control(0, creditFrame(w.credit))
	}
	for _, nonce := range w.pings {
		b.control(0, &snakepitv1.Frame{Kind: &snakepitv1.Frame_Ping{Ping: &snakepitv1.Ping{Nonce: nonce}}})
	}
	for _, nonce := range w.pongs {
		pong := &snakepitv1.Pong{Nonce: nonce, BusyUs: uint64(max(l.busy(now).Microseconds(), 0))}
		b.control(0, &snakepitv1.Frame{Kind: &snakepitv1.Frame_Pong{Pong: pong}})
	}
	for _, r := range w.refused {
		b.endCall(r.id, nil, r.err, false)
	}
	w.drain, w.credit = false, 0
	w.pings, w.pongs, w.refused = w.pings[:0], w.pongs[:0], w.refused[:0]
}

func creditFrame(n int64) *snakepitv1.Frame {
	return &snakepitv1.Frame{Kind: &snakepitv1.Frame_Credit{Credit: &snakepitv1.Credit{Bytes: uint64(n)}}} //nolint:gosec // positive
}

// composeReports adds the progress reports that are due.
func (l *Lane) composeReports(now time.Time) {
	w := &l.writer
	later := w.progress[:0]
	for _, s := range w.progress {
		switch {
		case s.progress == nil || s.over:
			s.inProgress = false
		case now.Sub(s.reported) < progressEvery:
			later = append(later, s)
		default:
			s.inProgress = false
			l.composeReport(s, now)
		}
	}
	clear(w.progress[len(later):])
	w.progress = later
}

func (l *Lane) composeReport(s *stream, now time.Time) {
	if s.progress == nil || !s.served {
		return
	}
	f := &snakepitv1.Frame{Optional: true, Kind: &snakepitv1.Frame_Progress{Progress: s.progress}}
	l.writer.batch.control(s.id, f)
	s.progress, s.reported = nil, now
}

// composeControl adds a call's control frames.
func (l *Lane) composeControl(s *stream, now time.Time) {
	b := &l.writer.batch
	if s.cancel != "" && !s.over {
		b.control(s.id, &snakepitv1.Frame{Kind: &snakepitv1.Frame_Cancel{Cancel: &snakepitv1.Cancel{Reason: s.cancel}}})
	}
	if s.creditDue > 0 && !s.over {
		b.control(s.id, creditFrame(s.creditDue))
	}
	s.cancel, s.creditDue = "", 0
	if s.out.control() {
		l.composeMessage(s, now)
		l.schedule(s)
	}
}

// composeMessage adds the next frame of a call's next message, or its half-close.
func (l *Lane) composeMessage(s *stream, now time.Time) {
	it, part, more, first := s.out.next(l.peer.MaxFrame)
	l.credit -= it.kind.cost(part)
	b := &l.writer.batch
	switch it.kind {
	case kindCall:
		l.composeCall(s, part, more, first, now)
	case kindData:
		b.chunk(s.id, part, more)
	case kindHalfClose:
		b.control(s.id, &snakepitv1.Frame{Kind: &snakepitv1.Frame_HalfClose{HalfClose: &snakepitv1.HalfClose{}}})
	case kindEnd:
		l.composeEnd(s, it, part, more, now)
	}
	if s.room != nil && s.out.queued < sendAhead {
		l.writer.rooms = append(l.writer.rooms, s.room)
	}
}

func (l *Lane) composeCall(s *stream, part []byte, more, first bool, now time.Time) {
	c := l.calls[s.id]
	c.begun, c.sent = true, !more
	var req *Request
	if first {
		req, c.req = c.req, nil
	}
	l.writer.batch.openCall(s.id, req, req.timeout(now), part, more)
}

func (l *Lane) composeEnd(s *stream, it item, part []byte, more bool, now time.Time) {
	l.composeReport(s, now)
	if more {
		l.writer.batch.endCall(s.id, part, nil, true)
		return
	}
	l.writer.batch.endCall(s.id, part, it.err, false)
	s.over = true
	delete(l.served, s.id)
}
