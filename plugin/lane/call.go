package lane

import (
	"context"
	"io"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Call is a call that this side opened. Recv is called by one goroutine at a
// time, and so are Send and CloseSend together; everything else by any.
type Call struct {
	stream
	done   chan struct{} // made by the first Done
	sent   bool          // the whole call was handed to the carrier
	begun  bool          // a part of it was
	result []byte
	err    error // how it ended
	read   bool  // Recv gave the result
	parent uint64
	takes  bool     // chunks
	after  func()   // Request.Over
	req    *Request // until it's written
}

// Open opens a call and returns without waiting: what can't be written at once is
// queued. Errors, of which each means that the call never reached the other side:
// invalid_tool_name, invalid_arguments, payload_too_large, queue_full for more
// open calls than the other side takes, draining, deadline, and worker_crashed
// (on the host's side) or cancelled (on the worker's) once the lane has ended.
func (l *Lane) Open(ctx context.Context, req Request) (*Call, error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx, req.where())
	}
	if err := req.check(); err != nil {
		return nil, err.At(req.where())
	}
	if len(req.Payload) > l.peer.MaxPayload {
		return nil, tooLarge("arguments", len(req.Payload), l.peer.MaxPayload).At(req.where())
	}
	if !req.Deadline.IsZero() && !time.Now().Before(req.Deadline) {
		return nil, deadlineError(req.where())
	}
	c := &Call{req: &req, parent: req.Parent, takes: req.Stream, after: req.Over}
	c.lane, c.deadline, c.at, c.closed = l, req.Deadline, req.where(), !req.Input
	c.in = inbox{window: int64(l.own.CallWindow), balance: int64(l.own.CallWindow)}
	c.out.init(l.peer.CallWindow)
	c.out.push(item{kind: kindCall, payload: req.Payload})
	if err := l.admit(c); err != nil {
		return nil, err
	}
	l.flush()
	return c, nil
}

// admit gives the call its number.
func (l *Lane) admit(c *Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return l.endOfCall(l.err, false, c.at)
	case l.peerDrains:
		return errdefs.New(errdefs.Draining, "the %s takes no new calls", l.other()).At(c.at)
	case len(l.calls) >= l.peer.MaxCalls:
		return errdefs.New(errdefs.QueueFull, "%d calls are open, and the %s takes no more", len(l.calls), l.other()).At(c.at)
	}
	if c.parent != 0 {
		p := l.served[c.parent]
		if p == nil || p.cause != nil {
			return errdefs.New(errdefs.Cancelled, "the call during which this one was made has ended").At(c.at)
		}
		p.children++
	}
	c.id = l.nextID
	l.nextID += 2
	c.ready = l.channel()
	l.calls[c.id] = c
	l.schedule(&c.stream)
	return nil
}

// ID is the call's number on the lane, for the other side's Request.Parent.
func (c *Call) ID() uint64 { return c.id }

// Recv blocks for the next message: chunks and progress reports, then the result
// with Last set, then io.EOF. It returns at once with the cause after Cancel. An
// error ends the call too, except when ctx is done before the call's own
// deadline: then the call goes on. A deadline that passes while Recv waits
// cancels the call.
//
// When the lane ends it returns the chunks that have arrived, then worker_crashed
// on the host's side, cancelled on the worker's; MayHaveRun says whether all of
// the call had been handed to the carrier.
func (c *Call) Recv(ctx context.Context) (Message, error) {
	for {
		m, wait, err := c.next()
		if wait == nil {
			return m, err
		}
		late, err := c.wait(ctx, wait)
		if err != nil {
			return Message{}, err
		}
		if late {
			c.miss()
		}
	}
}

// miss ends a call whose deadline has passed.
func (c *Call) miss() {
	err := deadlineError(c.at)
	c.lane.mu.Lock()
	err.MayHaveRun = c.sent
	c.lane.mu.Unlock()
	c.Cancel(err)
}

// next gives a message or an error, or else a channel to wait on.
func (c *Call) next() (Message, <-chan struct{}, error) {
	l := c.lane
	l.mu.Lock()
	m, wait, err := c.nextLocked()
	write := l.pending()
	l.mu.Unlock()
	if write {
		nudge(l.wake)
	}
	return m, wait, err
}

func (c *Call) nextLocked() (Message, <-chan struct{}, error) {
	switch m, ok := c.take(); {
	case c.cause != nil:
		c.release()
		return Message{}, nil, c.cause
	case ok:
		return m, nil, nil
	case !c.over:
		return Message{}, c.ready, nil
	case c.err != nil:
		c.release()
		return Message{}, nil, c.err
	case c.read:
		return Message{}, nil, io.EOF
	}
	c.release()
	m := Message{Payload: c.result, Last: true}
	c.read, c.result = true, nil
	return m, nil, nil
}

// release gives the ready channel back: nobody waits on it any more.
func (c *Call) release() {
	if c.ready != nil {
		c.lane.recycle(c.ready)
		c.ready = nil
	}
}

// Send hands one chunk to a tool that takes them, and keeps payload until it's
// written. It blocks while the tool doesn't read. Errors: payload_too_large, which
// leaves the call as it is; io.EOF when the call has ended, for Recv to say how;
// the cause after Cancel; deadline; and whatever ended ctx.
func (c *Call) Send(ctx context.Context, payload []byte) error {
	late, err := c.send(ctx, payload, io.EOF)
	if late {
		c.miss()
		return deadlineError(c.at)
	}
	return err
}

// CloseSend ends the chunks. It doesn't block, and doing it twice is no error.
func (c *Call) CloseSend() error {
	l := c.lane
	l.mu.Lock()
	if c.closed || c.over || c.unwanted() {
		l.mu.Unlock()
		return nil
	}
	c.closed = true
	c.out.push(item{kind: kindHalfClose})
	l.schedule(&c.stream)
	l.mu.Unlock()
	l.flush()
	return nil
}

// Cancel asks the other side to stop the call, with the cause's reason, and frees
// this side at once. Done is still closed when the other side has stopped, or at
// once when the call never got out. A nil cause counts as cancelled; the first
// cause stays. After the result was taken it does nothing.
func (c *Call) Cancel(cause error) {
	if cause == nil {
		cause = errdefs.New(errdefs.Cancelled, "the caller cancelled the call").At(c.at)
	}
	l := c.lane
	l.mu.Lock()
	e := l.abandon(c, cause)
	l.mu.Unlock()
	e.fire()
	nudge(l.wake)
}

// abandon frees the caller of a call.
func (l *Lane) abandon(c *Call, cause error) effects {
	if c.cause != nil || c.read {
		return effects{}
	}
	c.cause = cause
	c.progress, c.result = nil, nil
	c.in.close()
	c.out.clear()
	e := effects{ready: c.ready, room: c.room}
	if c.over {
		return e
	}
	if !c.begun {
		e.done = l.finish(c)
		return e
	}
	c.cancel = reasonOf(cause)
	l.giveBack(&c.stream)
	l.control(&c.stream)
	return e
}

// finish closes the books of a call that this side opened. It returns the channel
// to close, if anyone waits for it.
func (l *Lane) finish(c *Call) chan struct{} {
	c.over = true
	if c.after != nil {
		c.after()
	}
	c.out.clear()
	c.req = nil
	delete(l.calls, c.id)
	if p := l.served[c.parent]; c.parent != 0 && p != nil {
		p.children--
	}
	return c.done
}

// Done is closed when the other side has ended the call, cancelled or not, and
// when the lane has ended.
func (c *Call) Done() <-chan struct{} {
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	if c.done == nil {
		if c.over {
			return c.lane.past
		}
		c.done = make(chan struct{})
	}
	return c.done
}

// End is how the call ended, once Done is closed, whether that was received or not:
// nil for a result, the cause after Cancel.
func (c *Call) End() error {
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return c.err
}
