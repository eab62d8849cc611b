package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// rig is a host with fake workers that serves on a Unix socket.
type rig struct {
	socket   string
	listener *breakable
	stop     func() // ends the API and the host, and waits
}

// breakable is a listener that can break its connections.
type breakable struct {
	net.Listener

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func (b *breakable) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err == nil {
		b.mu.Lock()
		b.conns = append(b.conns, c)
		b.mu.Unlock()
	}
	return c, err
}

func (b *breakable) breakAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.Close()
	}
}

func start(t *testing.T, tools ...hosttest.Tool) *rig {
	t.Helper()
	return startWith(t, rpc.Config{Version: "1.2.3"}, tools...)
}

// startWith is start with a server of its own making.
func startWith(t *testing.T, cfg rpc.Config, tools ...hosttest.Tool) *rig {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	engine, err := host.New(host.Config{
		Node: "n1", Launcher: &hosttest.Launcher{Tools: tools, Slots: 8}, ShutdownTimeout: -1,
		Pools: []host.PoolConfig{{Name: "main", Size: 2, Command: host.Command{Path: "fake"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{socket: l.Addr().String(), listener: &breakable{Listener: l}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = engine.Run(ctx) })
	all.Go(func() {
		if err := rpc.NewServer(engine, cfg).Serve(ctx, r.listener); err != nil {
			t.Error(err)
		}
	})
	r.stop = func() { cancel(); all.Wait() }
	t.Cleanup(r.stop)
	if err := engine.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) dial(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), r.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tool(name string, run func(ctx context.Context, call *hosttest.Call) ([]byte, error)) hosttest.Tool {
	return hosttest.Tool{Tool: host.Tool{Name: name}, Run: run}
}

func echo() hosttest.Tool {
	return tool("echo", func(_ context.Context, call *hosttest.Call) ([]byte, error) { return call.Payload, nil })
}

// stuck runs until it's cancelled.
func stuck(started, ended chan<- struct{}) hosttest.Tool {
	return tool("stuck", func(ctx context.Context, _ *hosttest.Call) ([]byte, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, context.Cause(ctx)
	})
}

func pack(v any) []byte {
	b, _ := values.Encode(v) // ints and bytes always encode
	return b
}

func TestCallTravelsWithAllThatItSays(t *testing.T) {
	var seen atomic.Pointer[host.Invocation]
	r := start(t, tool("echo", func(_ context.Context, call *hosttest.Call) ([]byte, error) {
		seen.Store(&call.Invocation)
		return call.Payload, nil
	}))
	c := r.dial(t)
	type args struct {
		Text string `json:"text"`
	}
	got, err := snakepit.Call[args](t.Context(), c, "echo", args{"hi"}, snakepit.Pool("main"), snakepit.Session("s1"),
		snakepit.Metadata(map[string]string{"traceparent": "00-1"}), snakepit.Timeout(time.Minute))
	if err != nil || got.Text != "hi" {
		t.Fatalf("%v, %v", got, err)
	}
	inv := seen.Load()
	if inv.Session != "s1" || inv.Metadata["traceparent"] != "00-1" || time.Until(inv.Deadline) > time.Minute || inv.Stream {
		t.Errorf("%+v", inv)
	}
	err = c.Call(t.Context(), "echo", nil, nil, snakepit.Session("other"), snakepit.MustExist())
	if errdefs.ReasonOf(err) != errdefs.SessionNotFound {
		t.Errorf("%v", err)
	}
}

func TestWhatACallAsksOfTheQueueTravels(t *testing.T) {
	r := start(t, echo())
	c := r.dial(t)
	for what, opts := range map[string][]snakepit.CallOption{
		"affinity":   {snakepit.Session("s"), snakepit.Affinity("sticky")},
		"caller":     {snakepit.As(strings.Repeat("x", 257))},
		"priority":   {snakepit.Priority(1 << 40)},
		"concurrent": {snakepit.Concurrent()}, // without a session
		"local":      {snakepit.Local()},
	} {
		if err := c.Call(t.Context(), "echo", nil, nil, opts...); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%s: %v", what, err)
		}
	}
	err := c.Call(t.Context(), "echo", nil, nil, snakepit.As("me"), snakepit.Priority(-1), snakepit.Session("s"), snakepit.Affinity("strict_queue"), snakepit.Concurrent(), snakepit.Local())
	if err != nil {
		t.Error(err)
	}
}

// TestClientsShareTheSlotsFairly has one client fill the queue, and another come later.
func TestClientsShareTheSlotsFairly(t *testing.T) {
	var mu sync.Mutex
	var order []string
	next, running := make(chan struct{}), make(chan struct{}, 64)
	r := start(t, tool("gated", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		mu.Lock()
		order = append(order, call.Metadata["who"])
		mu.Unlock()
		running <- struct{}{}
		select {
		case <-next:
		case <-ctx.Done():
		}
		return call.Payload, nil
	}))
	var all sync.WaitGroup
	ask := func(c *client.Client, who string, n int) {
		for range n {
			all.Go(func() {
				if err := c.Call(t.Context(), "gated", nil, nil, snakepit.Metadata(map[string]string{"who": who})); err != nil {
					t.Error(err)
				}
			})
		}
	}
	watcher := r.dial(t)
	waits := func(n uint32) {
		for {
			st, err := watcher.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.GetPools()[0].GetQueued() == n {
				return
			}
		}
	}
	const slots = 16 // of the two workers
	ask(r.dial(t), "first", slots+8)
	waits(8)
	ask(r.dial(t), "second", 3)
	waits(11)
	for range slots {
		<-running
	}
	for range 6 { // one by one, so that they start in the order in which they are granted
		next <- struct{}{}
		<-running
	}
	mu.Lock()
	got := slices.Clone(order[slots:])
	mu.Unlock()
	close(next)
	all.Wait()
	if d := cmp.Diff([]string{"first", "second", "first", "second", "first", "second"}, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

func TestErrorKeepsEverythingAcrossTheSocket(t *testing.T) {
	want := &errdefs.Error{
		Reason: errdefs.PythonException, Message: "boom", Path: "$.x", Hint: "don't", MayHaveRun: true,
		Exception: &errdefs.Exception{Type: "mod.Boom", Bases: []string{"ValueError"}, Message: "boom", Traceback: "tb", Notes: []string{"n"}},
	}
	r := start(t, tool("fail", func(context.Context, *hosttest.Call) ([]byte, error) { return nil, want }))
	c := r.dial(t)
	for _, err := range []error{
		c.Call(t.Context(), "fail", nil, nil),
		c.Call(t.Context(), "fail", nil, nil, snakepit.OnProgress(func(snakepit.Progress) {})),
		last(c.Stream(t.Context(), "fail", nil)),
	} {
		var got *errdefs.Error
		if !errors.As(err, &got) || !errors.Is(err, errdefs.ErrToolFailed) {
			t.Fatalf("%v", err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(errdefs.Error{}, "Where"), cmpopts.IgnoreUnexported(errdefs.Error{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got.Where.Node != "n1" || got.Where.Pool != "main" || got.Where.Tool != "fail" || got.Where.Call == "" {
			t.Errorf("where = %+v", got.Where)
		}
	}
}

func last(seq func(func(snakepit.Chunk, error) bool)) (err error) {
	for _, e := range seq {
		err = e
	}
	return err
}

func TestResultThatDoesNotFitSaysWhere(t *testing.T) {
	c := start(t, echo()).dial(t)
	var out struct{ N int }
	err := c.Call(t.Context(), "echo", map[string]any{"n": "x"}, &out)
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Reason != errdefs.InvalidResult || e.Path != "$.n" {
		t.Errorf("%v", err)
	}
}

func TestArgumentsThatAreNoMapNeverLeave(t *testing.T) {
	c := start(t, echo()).dial(t)
	for _, in := range []any{3, []int{1}, make(chan int)} {
		if err := c.Call(t.Context(), "echo", in, nil); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%v", err)
		}
	}
}

func TestDeadlineEndsTheToolToo(t *testing.T) {
	started, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	c := start(t, stuck(started, ended)).dial(t)
	err := c.Call(t.Context(), "stuck", nil, nil, snakepit.Timeout(100*time.Millisecond))
	if errdefs.ReasonOf(err) != errdefs.Deadline || !errors.Is(err, context.DeadlineExceeded) || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	<-ended
}

func TestCancelEndsTheToolToo(t *testing.T) {
	started, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	c := start(t, stuck(started, ended)).dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	err := c.Call(ctx, "stuck", nil, nil)
	if errdefs.ReasonOf(err) != errdefs.Cancelled || !errors.Is(err, context.Canceled) || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	<-ended
}

func TestBrokenConnectionSaysThatTheCallMayHaveRun(t *testing.T) {
	for name, opts := range map[string][]snakepit.CallOption{"unary": nil, "stream": {snakepit.OnProgress(func(snakepit.Progress) {})}} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan struct{}, 1), make(chan struct{}, 1)
			r := start(t, stuck(started, ended))
			c := r.dial(t)
			go func() { <-started; r.listener.breakAll() }()
			err := c.Call(t.Context(), "stuck", nil, nil, opts...)
			if errdefs.ReasonOf(err) != errdefs.HostUnreachable || !errdefs.MayHaveRun(err) {
				t.Errorf("%v", err)
			}
			<-ended
		})
	}
}

func TestHostThatIsNotThereIsUnreachableAndRanNothing(t *testing.T) {
	_, err := client.Dial(t.Context(), "unix:///nonexistent/api.sock")
	if errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err) || !strings.Contains(err.Error(), "snakepit status") {
		t.Errorf("%v", err)
	}
	r := start(t, echo())
	c := r.dial(t)
	r.stop()
	for range 2 { // the first may still find the old connection
		err = c.Call(t.Context(), "echo", nil, nil)
	}
	if errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
}

func TestStreamGivesChunksInOrderAndProgress(t *testing.T) {
	c := start(t, tool("count", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		for i := range 100 {
			if err := errors.Join(call.Report(ctx, host.Progress{Done: float64(i), Total: 100, Message: "at"}), call.Emit(ctx, pack(i))); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}), echo()).dial(t)
	var got []int
	reports := 0
	for n, err := range snakepit.Stream[int](t.Context(), c, "count", nil, snakepit.OnProgress(func(p snakepit.Progress) {
		if p.Total == 100 && p.Message == "at" {
			reports++
		}
	})) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if len(got) != 100 || got[99] != 99 || reports != 100 {
		t.Errorf("%v, %d reports", got, reports)
	}
	chunks := 0
	for m, err := range snakepit.Stream[map[string]int](t.Context(), c, "echo", map[string]int{"a": 1}) {
		if chunks++; err != nil || m["a"] != 1 {
			t.Errorf("%v, %v", m, err)
		}
	}
	if chunks != 1 {
		t.Errorf("a tool that returns gave %d chunks", chunks)
	}
}

func TestLeavingTheLoopCancelsTheTool(t *testing.T) {
	ended := make(chan struct{})
	c := start(t, tool("endless", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		defer close(ended)
		for {
			if err := call.Emit(ctx, pack(1)); err != nil {
				return nil, err
			}
		}
	})).dial(t)
	for range c.Stream(t.Context(), "endless", nil) {
		break
	}
	<-ended
}

func TestSlowReaderHoldsTheToolBack(t *testing.T) {
	const size = 64 << 10
	var emitted atomic.Int64
	c := start(t, tool("flood", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		chunk := pack(make([]byte, size))
		for range 10_000 {
			if err := call.Emit(ctx, chunk); err != nil {
				return nil, err
			}
			emitted.Add(size)
		}
		return nil, nil
	})).dial(t)
	for _, err := range c.Stream(t.Context(), "flood", nil) {
		if err != nil {
			t.Fatal(err)
		}
		// It has stalled when it gave nothing during 100 round trips.
		for quiet, before := 0, int64(0); quiet < 100; quiet++ {
			if _, err := c.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
			if now := emitted.Load(); now != before {
				quiet, before = 0, now
			}
			if emitted.Load() > 16<<20 {
				t.Fatal("the tool isn't held back")
			}
		}
		break
	}
}

func sum() hosttest.Tool {
	return hosttest.Tool{
		Tool: host.Tool{Name: "sum", InputStream: "numbers"},
		Run: func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
			total := 0
			for {
				b, err := call.Next(ctx)
				if errors.Is(err, io.EOF) {
					return pack(total), nil
				}
				if err != nil {
					return nil, err
				}
				var n int
				if err := values.Decode(b, &n); err != nil {
					return nil, err
				}
				total += n
			}
		},
	}
}

func TestInputReachesTheTool(t *testing.T) {
	c := start(t, sum()).dial(t)
	got, err := snakepit.Call[int](t.Context(), c, "sum", nil, snakepit.InputOf(1, 2, 3))
	if err != nil || got != 6 {
		t.Errorf("%d, %v", got, err)
	}
	raw, err := c.CallRaw(t.Context(), "sum", client.Payload{Data: []byte("{}"), ContentType: "application/json"}, snakepit.InputOf(4, 5))
	if err != nil || string(raw) != "9" {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestErrorOfTheInputEndsTheCall(t *testing.T) {
	c := start(t, sum()).dial(t)
	oops := errors.New("oops")
	_, err := snakepit.Call[int](t.Context(), c, "sum", nil, snakepit.Input(func(yield func(int, error) bool) {
		if yield(1, nil) {
			yield(0, oops)
		}
	}))
	if !errors.Is(err, oops) {
		t.Errorf("%v", err)
	}
	_, err = snakepit.Call[int](t.Context(), c, "sum", nil, snakepit.InputOf[any](1, make(chan int)))
	if errdefs.ReasonOf(err) != errdefs.InvalidArguments {
		t.Errorf("%v", err)
	}
}

func TestInputEndsWhenTheToolDoes(t *testing.T) {
	hasty := sum()
	hasty.Run = func(ctx context.Context, call *hosttest.Call) ([]byte, error) { return call.Next(ctx) }
	c := start(t, hasty).dial(t)
	got, err := snakepit.Call[int](t.Context(), c, "sum", nil, snakepit.Input(func(yield func(int, error) bool) {
		for yield(7, nil) {
		}
	}))
	if err != nil || got != 7 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestStatusWorkersAndToolsAreTheHosts(t *testing.T) {
	c := start(t, echo(), sum()).dial(t)
	st, err := c.Status(t.Context())
	if err != nil || st.GetNode() != "n1" || st.GetVersion() != "1.2.3" || st.GetState() != "ready" || len(st.GetPools()) != 1 || st.GetPools()[0].GetReady() != 2 {
		t.Errorf("%v, %v", st, err)
	}
	workers, err := c.Workers(t.Context(), "main")
	if err != nil || len(workers) != 2 || workers[0].GetState() != "ready" || workers[0].GetPid() == 0 || workers[0].GetSlots() != 8 {
		t.Errorf("%v, %v", workers, err)
	}
	tools, err := c.Tools(t.Context())
	want := []snakepit.Tool{{Name: "echo", Pool: "main"}, {Name: "sum", Pool: "main", InputStream: "numbers"}}
	if diff := cmp.Diff(want, tools); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestClosedSessionIsForgotten(t *testing.T) {
	c := start(t, echo()).dial(t)
	if err := c.Call(t.Context(), "echo", nil, nil, snakepit.Session("s1")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseSession(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), "echo", nil, nil, snakepit.Session("s1"), snakepit.MustExist()); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestAddressesOfAllKindsAreDialled(t *testing.T) {
	r := start(t, echo())
	for _, target := range []string{r.socket, "unix:" + r.socket, "unix://" + r.socket} {
		c, err := client.Dial(t.Context(), target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		_ = c.Close()
	}
}

// ask is a Python tool that calls a host tool.
func ask() hosttest.Tool {
	return tool("ask", func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
		return call.Host(ctx, "price", call.Payload)
	})
}

type order struct {
	Count int `json:"count"`
}

func TestOfferedToolIsCalledByWorkersUntilTheClientLeaves(t *testing.T) {
	r := start(t, ask())
	owner, caller := r.dial(t), r.dial(t)
	err := snakepit.Handle(t.Context(), owner, "price", func(_ context.Context, in order) (int, error) {
		if in.Count == 0 {
			return 0, errdefs.New(errdefs.Conflict, "nothing to price")
		}
		return in.Count * 10, nil
	}, snakepit.Describe("Prices an order."))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ask", "price"} {
		got, err := snakepit.Call[int](t.Context(), caller, name, order{3})
		if err != nil || got != 30 {
			t.Errorf("%s = %d, %v", name, got, err)
		}
		if _, err := snakepit.Call[int](t.Context(), caller, name, order{}); errdefs.ReasonOf(err) != errdefs.Conflict {
			t.Errorf("%s: %v", name, err)
		}
		var e *errdefs.Error
		if err := caller.Call(t.Context(), name, map[string]any{"count": 1, "x": 2}, nil); !errors.As(err, &e) || e.Reason != errdefs.InvalidArguments || e.Path != "$.x" {
			t.Errorf("%s: %v", name, err)
		}
	}
	tools, err := caller.OfferedTools(t.Context(), "")
	if err != nil || len(tools) != 2 || tools[1].GetTool().GetDescription() != "Prices an order." || !tools[1].GetExposed() ||
		!strings.Contains(tools[1].GetTool().GetInputSchema(), `"count":{"type":"integer"}`) {
		t.Errorf("%v, %v", tools, err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	for { // the host learns of it in its own time
		err := caller.Call(t.Context(), "ask", order{3}, nil)
		if errdefs.ReasonOf(err) == errdefs.ToolNotFound {
			return
		}
		if !errdefs.MayHaveRun(err) && err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefusedOfferLeavesTheOthers(t *testing.T) {
	r := start(t, echo())
	c := r.dial(t)
	one := func(context.Context, order) (int, error) { return 1, nil }
	if err := snakepit.Handle(t.Context(), c, "one", one); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]errdefs.Reason{
		"one": errdefs.Exists, "": errdefs.InvalidToolName, strings.Repeat("x", 65): errdefs.InvalidToolName, "a b": errdefs.InvalidToolName,
	} {
		if err := snakepit.Handle(t.Context(), c, name, one); errdefs.ReasonOf(err) != want {
			t.Errorf("%.20q: %v, want %s", name, err, want)
		}
	}
	if err := snakepit.Handle(t.Context(), r.dial(t), "one", one); errdefs.ReasonOf(err) != errdefs.Exists {
		t.Errorf("%v", err)
	}
	if got, err := snakepit.Call[int](t.Context(), c, "one", order{}); err != nil || got != 1 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestToolThatRanWhenItsClientLeftMayHaveRun(t *testing.T) {
	r := start(t, ask())
	owner, caller := r.dial(t), r.dial(t)
	running := make(chan struct{})
	if err := snakepit.Handle(t.Context(), owner, "price", func(ctx context.Context, _ order) (int, error) {
		close(running)
		<-ctx.Done()
		return 0, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	go func() { <-running; _ = owner.Close() }()
	err := caller.Call(t.Context(), "ask", order{1}, nil)
	if errdefs.ReasonOf(err) != errdefs.OutcomeUnknown || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
}

func TestCancelAndDeadlineReachTheOfferedTool(t *testing.T) {
	r := start(t, ask())
	owner, caller := r.dial(t), r.dial(t)
	ended := make(chan bool, 1)
	if err := snakepit.Handle(t.Context(), owner, "price", func(ctx context.Context, _ order) (int, error) {
		d, ok := ctx.Deadline()
		<-ctx.Done()
		ended <- ok && time.Until(d) < time.Hour
		return 0, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	err := caller.Call(t.Context(), "ask", order{1}, nil, snakepit.Timeout(100*time.Millisecond))
	if errdefs.ReasonOf(err) != errdefs.Deadline {
		t.Errorf("%v", err)
	}
	if !<-ended {
		t.Error("the tool saw no deadline")
	}
}

func TestPanicInAnOfferedToolFailsOneCall(t *testing.T) {
	r := start(t, ask())
	c := r.dial(t)
	if err := snakepit.Handle(t.Context(), c, "price", func(_ context.Context, in order) (int, error) {
		if in.Count == 0 {
			panic("bug") //nolint:forbidigo // it is what the test is about
		}
		return in.Count, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), "ask", order{0}, nil); !errors.Is(err, errdefs.ErrInternal) || !strings.Contains(err.Error(), "bug") {
		t.Errorf("%v", err)
	}
	if err := c.Call(t.Context(), "ask", order{1}, nil); err != nil {
		t.Error(err)
	}
}

func TestTooManyCallsToOneClientAreRefused(t *testing.T) {
	r := start(t, echo())
	owner, caller := r.dial(t), r.dial(t)
	release := make(chan struct{})
	if err := snakepit.Handle(t.Context(), owner, "wait", func(ctx context.Context, _ order) (int, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 300)
	var calls sync.WaitGroup
	for range 300 {
		calls.Go(func() { results <- caller.Call(t.Context(), "wait", order{}, nil) })
	}
	for range 300 - 256 {
		if err := <-results; errdefs.ReasonOf(err) != errdefs.QueueFull {
			t.Errorf("%v", err)
		}
	}
	close(release)
	calls.Wait()
	close(results)
	for err := range results {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOfferAfterTheHostStoppedSaysWhy(t *testing.T) {
	r := start(t, echo())
	c := r.dial(t)
	noop := func(context.Context, order) (int, error) { return 0, nil }
	if err := snakepit.Handle(t.Context(), c, "a", noop); err != nil {
		t.Fatal(err)
	}
	r.stop()
	err := snakepit.Handle(t.Context(), c, "b", noop)
	if !errors.Is(err, errdefs.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	c := start(t, echo()).dial(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 20 {
				want := fmt.Sprint(i, j)
				got, err := snakepit.Call[map[string]string](t.Context(), c, "echo", map[string]string{"v": want})
				if err != nil || got["v"] != want {
					t.Errorf("%v, %v; want %s", got, err, want)
					return
				}
			}
		})
	}
	all.Wait()
}
