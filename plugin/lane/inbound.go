package lane

import (
	"context"
	"io"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Inbound is a call that the other side opened. Recv is called by one goroutine
// at a time, and so is Send.
type Inbound struct {
	stream
	req      Request
	started  time.Time               // when Serve began; zero: the arguments haven't all come
	half     bool                    // the caller sends no more chunks
	answered bool                    // End was called, or the call was refused
	children int                     // open calls of this side that name it as parent
	stop     context.CancelCauseFunc // of Serve's context
}

// Request is what the caller asks for.
func (in *Inbound) Request() Request { return in.req }

// ID is the call's number on the lane, for Request.Parent of calls made during it.
func (in *Inbound) ID() uint64 { return in.id }

// Recv blocks for the caller's next chunk. It returns io.EOF after the last one,
// and the cause when the call is cancelled or past its deadline.
func (in *Inbound) Recv(ctx context.Context) ([]byte, error) {
	for {
		payload, wait, err := in.next()
		if wait == nil {
			return payload, err
		}
		late, err := in.wait(ctx, wait)
		if err != nil {
			return nil, err
		}
		if late {
			return nil, deadlineError(in.at)
		}
	}
}

func (in *Inbound) next() ([]byte, <-chan struct{}, error) {
	l := in.lane
	l.mu.Lock()
	payload, wait, err := in.nextLocked()
	write := l.pending()
	l.mu.Unlock()
	if write {
		nudge(l.wake)
	}
	return payload, wait, err
}

func (in *Inbound) nextLocked() ([]byte, <-chan struct{}, error) {
	if in.cause != nil {
		return nil, nil, in.cause
	}
	if m, ok := in.take(); ok {
		return m.Payload, nil, nil
	}
	if in.half || in.over || in.answered {
		return nil, nil, io.EOF
	}
	return nil, in.ready, nil
}

// Send writes one chunk to a caller that takes them (Request.Stream), and keeps
// payload until it's written. It blocks while the caller doesn't read. Errors:
// payload_too_large, which leaves the call as it is; the cause when the call is
// cancelled or past its deadline.
func (in *Inbound) Send(ctx context.Context, payload []byte) error {
	if !in.req.Stream {
		return errdefs.New(errdefs.Internal, "a chunk for a caller that takes none").At(in.at)
	}
	late, err := in.send(ctx, payload, errdefs.New(errdefs.Cancelled, "the call has ended").At(in.at))
	if late {
		return deadlineError(in.at)
	}
	return err
}

// Progress reports how far the call has come. It never blocks: of reports that
// follow within 50 ms of each other only the newest is written.
func (in *Inbound) Progress(p Progress) {
	l := in.lane
	l.mu.Lock()
	if !in.over && !in.answered && in.cause == nil {
		in.progress = &snakepitv1.Progress{Done: p.Done, Total: p.Total, Message: cut(p.Message, maxProgress)}
		if w := &l.writer; !in.inProgress {
			in.inProgress = true
			w.progress = append(w.progress, &in.stream)
		}
	}
	l.mu.Unlock()
	nudge(l.wake)
}

// End ends the call, with a result or an error. It doesn't block. A call that was
// cancelled or is past its deadline ends with that; only the first End counts.
func (in *Inbound) End(payload []byte, err error) {
	l := in.lane
	e := errdefs.ToProto(err)
	if err == nil && len(payload) > l.peer.MaxPayload {
		payload, e = nil, errdefs.ToProto(tooLarge("a result", len(payload), l.peer.MaxPayload).At(in.at))
	}
	if e != nil {
		payload, e = nil, fit(e)
	}
	l.mu.Lock()
	fx := l.answer(in, item{kind: kindEnd, payload: payload, err: e})
	l.mu.Unlock()
	fx.fire()
	l.flush()
}

func (in *Inbound) ended() bool {
	in.lane.mu.Lock()
	defer in.lane.mu.Unlock()
	return in.answered
}

// answer queues the end of a call that the other side opened.
func (l *Lane) answer(in *Inbound, end item) effects {
	if in.over || in.answered {
		return effects{}
	}
	in.answered = true
	if in.cause == nil && !in.deadline.IsZero() && !time.Now().Before(in.deadline) {
		in.cause = deadlineError(in.at)
	}
	if in.cause != nil {
		in.out.clear()
		end = item{kind: kindEnd, err: errdefs.ToProto(in.cause)}
	}
	in.closed = true
	in.in.close()
	in.out.push(end)
	l.schedule(&in.stream)
	e := effects{ready: in.ready, room: in.room}
	if e.orphans = l.childrenOf(in); e.orphans != nil {
		e.cause = errdefs.New(errdefs.Cancelled, "the call during which this one was made has ended")
	}
	return e
}

// revoke takes in that nobody wants the call any more.
func (l *Lane) revoke(in *Inbound, cause error) effects {
	if in.over || in.cause != nil {
		return effects{}
	}
	if in.answered {
		l.shorten(in, cause)
		return effects{}
	}
	in.cause = cause
	in.progress = nil
	in.in.close()
	in.out.clear()
	e := effects{ready: in.ready, room: in.room, stop: in.stop, cause: cause, orphans: l.childrenOf(in)}
	if in.started.IsZero() { // no tool runs that would end it
		l.answer(in, item{kind: kindEnd})
	}
	return e
}

// shorten ends a call at once whose chunks and long result are still on their way
// to a caller that has lost interest.
func (l *Lane) shorten(in *Inbound, cause error) {
	if len(in.out.items) == 0 {
		return
	}
	last := in.out.items[len(in.out.items)-1]
	begun := in.out.items[0].begun
	in.out.clear()
	if begun || len(last.payload) > l.peer.MaxFrame {
		last = item{kind: kindEnd, err: errdefs.ToProto(cause)}
	}
	in.out.push(last)
	l.schedule(&in.stream)
}

func (l *Lane) childrenOf(in *Inbound) []*Call {
	if in.children == 0 {
		return nil
	}
	var out []*Call
	for _, c := range l.calls {
		if c.parent == in.id {
			out = append(out, c)
		}
	}
	return out
}

// context makes Serve's context. It's done when the call is cancelled, at its
// deadline, and when the lane ends.
func (in *Inbound) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancelCause(parent)
	cancel := context.CancelFunc(func() { stop(context.Canceled) })
	if !in.deadline.IsZero() {
		inner, free := context.WithDeadlineCause(ctx, in.deadline, deadlineError(in.at))
		ctx, cancel = inner, func() { free(); stop(context.Canceled) }
	}
	in.lane.mu.Lock()
	in.stop = stop
	cause := in.cause
	in.lane.mu.Unlock()
	if cause != nil {
		stop(cause)
	}
	return ctx, cancel
}

// serve runs one call from the other side.
func (l *Lane) serve(parent context.Context, in *Inbound) {
	ctx, cancel := in.context(parent)
	defer cancel()
	l.cfg.Serve(ctx, in)
	if !in.ended() {
		in.End(nil, errdefs.New(errdefs.Internal, "the tool ended without a result").At(in.at))
	}
}
