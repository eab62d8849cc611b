package lane

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Bounds of what the lane itself owes to a peer that doesn't read.
const (
	maxPongs   = 1024
	maxRefused = 2048
)

// read takes frames until the carrier ends or the peer breaks a rule. It never
// waits for anything but the carrier.
func (l *Lane) read(ctx context.Context) error {
	for {
		f, err := l.carrier.Read()
		if err != nil {
			return err
		}
		if err := l.handle(ctx, f); err != nil {
			return err
		}
	}
}

// handle takes in one frame.
func (l *Lane) handle(ctx context.Context, f *snakepitv1.Frame) error {
	now := time.Now()
	l.mu.Lock()
	if l.ended {
		defer l.mu.Unlock()
		return l.err
	}
	a, err := l.dispatch(f, now)
	write := l.pending()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	a.fire()
	if a.pong != nil {
		a.pong <- a.busy // has room for the one answer
	}
	if in := a.start; in != nil {
		l.serving.Go(func() { l.serve(ctx, in) })
	}
	if write {
		nudge(l.wake)
	}
	return nil
}

// arrival is what follows from a frame.
type arrival struct {
	effects
	start *Inbound // to be served
	pong  chan time.Duration
	busy  time.Duration
}

func (l *Lane) dispatch(f *snakepitv1.Frame, now time.Time) (arrival, error) {
	switch k := f.GetKind().(type) {
	case *snakepitv1.Frame_Call, *snakepitv1.Frame_Data, *snakepitv1.Frame_End:
		return l.onMessage(f, now)
	case *snakepitv1.Frame_HalfClose:
		return l.onHalfClose(f)
	case *snakepitv1.Frame_Cancel:
		return l.onCancel(f.GetCallId(), k.Cancel)
	case *snakepitv1.Frame_Credit:
		return l.onCredit(f.GetCallId(), k.Credit)
	case *snakepitv1.Frame_Progress:
		return l.onProgress(f.GetCallId(), k.Progress)
	case *snakepitv1.Frame_Ping:
		return l.onPing(k.Ping)
	case *snakepitv1.Frame_Pong:
		return l.onPong(k.Pong)
	case *snakepitv1.Frame_Drain:
		l.peerDrains = true
		return arrival{}, nil
	case *snakepitv1.Frame_Hello:
		return arrival{}, broken("a second hello")
	}
	if f.GetOptional() {
		return arrival{}, nil
	}
	return arrival{}, broken("a frame of an unknown kind")
}

// onMessage keeps the lane's books, which hold for dropped frames as well.
func (l *Lane) onMessage(f *snakepitv1.Frame, now time.Time) (arrival, error) {
	k, payload := kindCall, f.GetCall().GetPayload()
	switch {
	case f.GetData() != nil:
		k, payload = kindData, f.GetData().GetPayload()
	case f.GetEnd() != nil:
		k, payload = kindEnd, f.GetEnd().GetPayload()
	}
	if len(payload) > l.own.MaxFrame {
		return arrival{}, broken("a frame with a payload of %d bytes, where at most %d are taken", len(payload), l.own.MaxFrame)
	}
	if f.GetCallId() == 0 {
		return arrival{}, broken("a call without a number")
	}
	l.in.balance -= k.cost(payload)
	l.in.owed += k.cost(payload)
	if l.in.balance < -int64(l.own.MaxFrame)-frameCost {
		return arrival{}, broken("a peer that sends without credit for the lane")
	}
	l.writer.credit += l.in.credit()
	if k == kindCall {
		return l.onCall(f, payload, now)
	}
	if k == kindEnd {
		return l.onEnd(f, payload)
	}
	return l.onData(f, payload)
}

func (l *Lane) mine(id uint64) bool { return id%2 == l.nextID%2 }

func (l *Lane) onCall(f *snakepitv1.Frame, payload []byte, now time.Time) (arrival, error) {
	id, c := f.GetCallId(), f.GetCall()
	if l.mine(id) {
		return arrival{}, broken("call %d has a number of the wrong side", id)
	}
	if id <= l.lastSeen {
		if c.GetTool() != "" {
			return arrival{}, broken("call %d was opened before", id)
		}
		return l.goOn(l.served[id], f, payload, now)
	}
	l.lastSeen = id
	in := &Inbound{req: requestOf(c, now)}
	if err := l.refuse(&in.req); err != nil {
		return arrival{}, l.sendRefusal(id, err)
	}
	in.lane, in.id, in.served, in.deadline, in.at = l, id, true, in.req.Deadline, in.req.where()
	in.in = inbox{window: int64(l.own.CallWindow), balance: int64(l.own.CallWindow)}
	in.out.init(l.peer.CallWindow)
	in.ready = make(chan struct{}, 1)
	in.half = !in.req.Input
	l.served[id] = in
	return l.goOn(in, f, payload, now)
}

// goOn takes a frame of a call's arguments.
func (l *Lane) goOn(in *Inbound, f *snakepitv1.Frame, payload []byte, now time.Time) (arrival, error) {
	if in == nil {
		return arrival{}, nil
	}
	if !in.started.IsZero() {
		return arrival{}, broken("call %d has arguments already", in.id)
	}
	msg, whole, err := in.in.add(kindCall, payload, f.GetMore(), l.own.MaxFrame, l.own.MaxPayload)
	if errors.Is(err, errTooLarge) {
		return arrival{effects: l.revoke(in, tooLarge("arguments", 0, l.own.MaxPayload).At(in.at))}, nil
	}
	if err != nil {
		return arrival{}, err
	}
	a := arrival{}
	if whole && in.cause == nil {
		in.in.taken()
		in.req.Payload, in.started = msg, now
		a.start = in
	}
	if !whole || !in.half {
		l.giveBack(&in.stream)
	}
	return a, nil
}

// refuse says why a call from the other side isn't run, if so.
func (l *Lane) refuse(r *Request) *errdefs.Error {
	switch err := r.check(); {
	case err != nil:
		return err
	case l.draining:
		return errdefs.New(errdefs.Draining, "no new calls are taken")
	case len(l.served) >= l.own.MaxCalls:
		return errdefs.New(errdefs.QueueFull, "%d calls are open", len(l.served))
	case l.cfg.Serve == nil:
		return errdefs.New(errdefs.ToolNotFound, "there are no tools on this side")
	}
	return nil
}

func (l *Lane) sendRefusal(id uint64, err *errdefs.Error) error {
	if len(l.writer.refused) >= maxRefused {
		return broken("a peer that opens calls and reads no answers")
	}
	l.writer.refused = append(l.writer.refused, refusal{id, fit(errdefs.ToProto(err))})
	return nil
}

func (l *Lane) onData(f *snakepitv1.Frame, payload []byte) (arrival, error) {
	id := f.GetCallId()
	var s *stream
	if l.mine(id) {
		c := l.calls[id]
		if c == nil {
			return arrival{}, nil
		}
		if s = &c.stream; !c.takes {
			return arrival{}, broken("a chunk for call %d, which takes none", id)
		}
	} else {
		in := l.served[id]
		if in == nil {
			return arrival{}, nil
		}
		if s = &in.stream; in.half || in.started.IsZero() && in.cause == nil {
			return arrival{}, broken("a chunk for call %d, which takes none now", id)
		}
	}
	msg, whole, err := s.in.add(kindData, payload, f.GetMore(), l.own.MaxFrame, l.own.MaxPayload)
	if errors.Is(err, errTooLarge) {
		return arrival{effects: l.choke(s)}, nil
	}
	if err != nil {
		return arrival{}, err
	}
	a := arrival{}
	if whole && !s.in.deaf {
		s.in.push(msg)
		a.ready = s.ready
	}
	l.giveBack(s)
	return a, nil
}

// choke ends a call that got more than fits a message.
func (l *Lane) choke(s *stream) effects {
	cause := tooLarge("a message", 0, l.own.MaxPayload).At(s.at)
	if s.served {
		return l.revoke(l.served[s.id], cause)
	}
	cause.MayHaveRun = true
	return l.abandon(l.calls[s.id], cause)
}

func (l *Lane) onHalfClose(f *snakepitv1.Frame) (arrival, error) {
	id := f.GetCallId()
	if l.mine(id) {
		return arrival{}, broken("a half-close from the side that serves call %d", id)
	}
	in := l.served[id]
	if in == nil || in.unwanted() || in.answered {
		return arrival{}, nil
	}
	if in.half || in.started.IsZero() || in.in.partKind != 0 {
		return arrival{}, broken("a half-close of call %d out of order", id)
	}
	in.half = true
	return arrival{effects: effects{ready: in.ready}}, nil
}

func (l *Lane) onEnd(f *snakepitv1.Frame, payload []byte) (arrival, error) {
	id := f.GetCallId()
	if !l.mine(id) {
		return arrival{}, broken("an end from the side that opened call %d", id)
	}
	c := l.calls[id]
	if c == nil {
		return arrival{}, nil
	}
	msg, whole, err := c.in.add(kindEnd, payload, f.GetMore(), l.own.MaxFrame, l.own.MaxPayload)
	if errors.Is(err, errTooLarge) {
		e := l.choke(&c.stream)
		if !f.GetMore() {
			e.done = l.finish(c)
		}
		return arrival{effects: e}, nil
	}
	if err != nil {
		return arrival{}, err
	}
	if !whole {
		l.giveBack(&c.stream)
		return arrival{}, nil
	}
	if c.unwanted() {
		return arrival{effects: effects{done: l.finish(c)}}, nil
	}
	c.result = msg
	if e := f.GetEnd().GetError(); e != nil {
		c.err = errdefs.FromProto(e).At(c.at)
		c.result = nil
	}
	return arrival{effects: effects{ready: c.ready, room: c.room, done: l.finish(c)}}, nil
}

func (l *Lane) onCancel(id uint64, c *snakepitv1.Cancel) (arrival, error) {
	if l.mine(id) {
		return arrival{}, broken("a cancel from the side that serves call %d", id)
	}
	in := l.served[id]
	if in == nil {
		return arrival{}, nil
	}
	return arrival{effects: l.revoke(in, cancelError(c.GetReason()).At(in.at))}, nil
}

func (l *Lane) onCredit(id uint64, c *snakepitv1.Credit) (arrival, error) {
	if id == 0 {
		if c.GetBytes() > uint64(int64(l.peer.LaneWindow)-l.credit) { //nolint:gosec // credit is at most the window
			return arrival{}, broken("more credit than the lane's window")
		}
		l.credit += int64(c.GetBytes()) //nolint:gosec // at most the window
		return arrival{}, nil
	}
	s := l.streamOf(id)
	if s == nil {
		return arrival{}, nil
	}
	if err := s.out.refill(c.GetBytes()); err != nil {
		return arrival{}, err
	}
	l.schedule(s)
	return arrival{}, nil
}

func (l *Lane) streamOf(id uint64) *stream {
	if c := l.calls[id]; c != nil {
		return &c.stream
	}
	if in := l.served[id]; in != nil {
		return &in.stream
	}
	return nil
}

func (l *Lane) onProgress(id uint64, p *snakepitv1.Progress) (arrival, error) {
	c := l.calls[id]
	if c == nil || c.unwanted() {
		return arrival{}, nil
	}
	p.Message = strings.Clone(cut(p.GetMessage(), maxProgress))
	c.progress = p
	return arrival{effects: effects{ready: c.ready}}, nil
}

func (l *Lane) onPing(p *snakepitv1.Ping) (arrival, error) {
	if len(l.writer.pongs) >= maxPongs {
		return arrival{}, broken("a peer that pings and reads no pongs")
	}
	l.writer.pongs = append(l.writer.pongs, p.GetNonce())
	return arrival{}, nil
}

func (l *Lane) onPong(p *snakepitv1.Pong) (arrival, error) {
	w := l.waiters[p.GetNonce()]
	delete(l.waiters, p.GetNonce())
	busy := time.Duration(min(p.GetBusyUs(), maxTimeoutMicros)) * time.Microsecond //nolint:gosec // bounded by the min
	return arrival{pong: w, busy: busy}, nil
}
