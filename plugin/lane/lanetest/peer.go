package lanetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// patience is how long anything may take before it counts as stuck.
const patience = 60 * time.Second

// Peer is a worker to be tested.
type Peer struct {
	// Dial opens a carrier to the worker and gives the token for its hello. The
	// suite says hello, and closes the carrier. It's called once for each test, when
	// the lane before has been closed.
	Dial func(t *testing.T) (lane.Carrier, []byte)
	// Slots is how many calls the worker runs at once. What needs more isn't tested.
	Slots int
}

// test is one rule.
type test struct {
	name  string
	slots int // that it needs; zero: one
	limit lane.Limits
	run   func(r *rig)
}

// Run tests a worker. Each test is a subtest, named for the rule that it checks.
func Run(t *testing.T, p Peer) {
	t.Helper()
	for _, group := range [][]test{calls(), streams(), sizes(), stops(), callbacks(), sessions(), health()} {
		for _, c := range group {
			if c.slots > p.Slots {
				continue
			}
			t.Run(c.name, func(t *testing.T) { c.run(newRig(t, p, c.limit)) })
		}
	}
	for _, c := range rules() {
		t.Run(c.name, func(t *testing.T) { c.run(newWire(t, p)) })
	}
}

// rig is the host's side of a lane to the worker under test.
type rig struct {
	*testing.T
	ctx   context.Context //nolint:containedctx // a test's, and it ends with the test
	lane  *lane.Lane
	hang  func() // ends the lane
	again func() // ends the lane, and opens another one

	leaves bool // the test leaves calls behind on purpose

	mu    sync.Mutex // guards what follows
	tools map[string]hostTool
	whole map[string]hostTool    // that take all of the arguments
	seen  func(in *lane.Inbound) // is shown each call from the worker; may be nil
}

type hostTool func(ctx context.Context, value any) (any, error)

func newRig(t *testing.T, p Peer, limits lane.Limits) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r := &rig{T: t, ctx: ctx, tools: map[string]hostTool{}, whole: map[string]hostTool{}}
	t.Cleanup(cancel)
	r.dial(p, limits)
	r.again = func() {
		r.hang()
		r.dial(p, limits)
	}
	return r
}

// dial opens a lane and runs it until hang, at the latest when the test has ended.
func (r *rig) dial(p Peer, limits lane.Limits) {
	r.Helper()
	carrier, token := p.Dial(r.T)
	l, err := lane.Dial(r.ctx, carrier, lane.Config{Token: token, Agent: "lanetest", Limits: limits, Serve: r.serve})
	if err != nil {
		r.Fatalf("dial: %v", err)
	}
	r.lane = l
	ctx, stop := context.WithCancel(context.WithoutCancel(r.ctx))
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil && ctx.Err() == nil {
			r.Errorf("the lane ended: %v", err)
		}
	})
	hang := func() {
		stop()
		running.Wait()
	}
	r.hang = hang
	r.Cleanup(func() {
		if r.lane == l {
			r.healthy()
		}
		hang()
	})
	r.idle() // of what the test before has left
}

// healthy checks that whatever a test did, the worker is there for the next one.
func (r *rig) healthy() {
	if r.Failed() || r.leaves {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), patience)
	defer cancel()
	r.ctx = ctx
	r.idle()
	var out string
	r.call(&out, "echo", "value", "still here")
	if out != "still here" {
		r.Errorf("afterwards echo gave %q", out)
	}
}

// idle waits until the worker runs nothing.
func (r *rig) idle() {
	r.Helper()
	for r.ping() > 0 {
	}
}

func (r *rig) ping() time.Duration {
	r.Helper()
	busy, err := r.lane.Ping(r.ctx)
	if err != nil {
		r.Fatalf("ping: %v", err)
	}
	return busy
}

func (r *rig) tool(name string, f hostTool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tools[name] = f
}

func (r *rig) onServe(f func(in *lane.Inbound)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = f
}

func (r *rig) serve(ctx context.Context, in *lane.Inbound) {
	req := in.Request()
	r.mu.Lock()
	f, seen := r.tools[req.Tool], r.seen
	whole := r.whole[req.Tool]
	r.mu.Unlock()
	if seen != nil {
		seen(in)
	}
	if f == nil && whole == nil {
		in.End(nil, errdefs.New(errdefs.ToolNotFound, "there is no host tool %q", req.Tool))
		return
	}
	var args map[string]any
	if err := values.Decode(req.Payload, &args); err != nil {
		in.End(nil, errdefs.Wrap(errdefs.InvalidArguments, err, "arguments"))
		return
	}
	var out any
	var err error
	if whole != nil {
		out, err = whole(ctx, args)
	} else {
		out, err = f(ctx, args["value"])
	}
	if err != nil {
		in.End(nil, err)
		return
	}
	in.End(encode(r, out), nil)
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := values.Encode(v)
	if err != nil {
		tb.Errorf("encode %T: %v", v, err)
	}
	return raw
}

// arguments makes a payload of names and values.
func arguments(tb testing.TB, pairs ...any) []byte {
	tb.Helper()
	args := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		name, ok := pair[0].(string)
		if !ok || len(pair) < 2 {
			tb.Fatalf("an argument %v without name or value", pair)
		}
		args[name] = pair[1]
	}
	return encode(tb, args)
}

// open opens a call that has to get out.
func (r *rig) open(req lane.Request, pairs ...any) *lane.Call {
	r.Helper()
	req.Payload = arguments(r, pairs...)
	c, err := r.lane.Open(r.ctx, req)
	if err != nil {
		r.Fatalf("open %s: %v", req.Tool, err)
	}
	return c
}

// call makes a unary call that has to work.
func (r *rig) call(out any, tool string, pairs ...any) {
	r.Helper()
	r.result(r.open(lane.Request{Tool: tool}, pairs...), out)
}

// result takes the result, which has to be the next message.
func (r *rig) result(c *lane.Call, out any) {
	r.Helper()
	m := r.recv(c)
	if !m.Last {
		r.Fatalf("a chunk of %d bytes instead of the result", len(m.Payload))
	}
	r.decode(m.Payload, out)
	r.done(c)
}

// recv takes the next message that is no progress report.
func (r *rig) recv(c *lane.Call) lane.Message {
	r.Helper()
	for {
		m, err := c.Recv(r.ctx)
		if err != nil {
			r.Fatalf("recv: %v", err)
		}
		if m.Progress == nil {
			return m
		}
	}
}

func (r *rig) decode(payload []byte, out any) {
	r.Helper()
	if out == nil {
		return
	}
	if err := values.Decode(payload, out); err != nil {
		r.Fatalf("decode: %v", err)
	}
}

// failure takes the error that a call ends with.
func (r *rig) failure(c *lane.Call) *errdefs.Error {
	r.Helper()
	for {
		_, err := c.Recv(r.ctx)
		if err == nil {
			continue
		}
		var e *errdefs.Error
		if !errors.As(err, &e) {
			r.Fatalf("an error of type %T: %v", err, err)
		}
		return e
	}
}

func (r *rig) fails(c *lane.Call, want errdefs.Reason) {
	r.Helper()
	if e := r.failure(c); e.Reason != want {
		r.Errorf("ended with %s, not %s: %v", e.Reason, want, e)
	}
}

// done waits until the worker has ended the call.
func (r *rig) done(c *lane.Call) {
	r.Helper()
	select {
	case <-c.Done():
	case <-r.ctx.Done():
		r.Fatal("the call doesn't end")
	}
}

// quickly fails unless f takes less than most.
func (r *rig) quickly(most time.Duration, what string, f func()) {
	r.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > most {
		r.Errorf("%s took %v, and %v is the most", what, took, most)
	}
}
