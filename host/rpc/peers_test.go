package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// other is another node, on loopback: its engine answers what peers ask.
type other struct {
	engine *host.Host
	server *rpc.PeerServer
	peers  host.Peers
	conns  func() // breaks every connection
}

// newOther starts one. Its server has the engine once it's bound.
func newOther(t *testing.T, tools ...hosttest.Tool) *other {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	engine, err := host.New(host.Config{
		Node: "n2", Launcher: &hosttest.Launcher{Tools: tools, Slots: 4}, ShutdownTimeout: -1,
		Pools: []host.PoolConfig{{Name: "main", Size: 1, Command: host.Command{Path: "fake"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	live := &breakable{Listener: l}
	o := &other{engine: engine, server: rpc.NewPeerServer(nil), conns: live.breakAll}
	g := grpc.NewServer(grpc.WaitForHandlers(true), grpc.MaxRecvMsgSize(8<<20))
	o.server.Register(g)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = engine.Run(ctx) })
	all.Go(func() { _ = g.Serve(live) })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); g.Stop(); o.server.Wait(); cancel(); all.Wait() })
	if err := engine.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.peers = rpc.NewPeers(func(context.Context, string) (grpc.ClientConnInterface, error) { return conn, nil })
	o.server.Bind(engine)
	return o
}

// breakable is a listener whose connections can be broken.
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

func forwarded(tool string, payload []byte) host.Forwarded {
	return host.Forwarded{Request: host.Request{Tool: tool, Payload: payload}, ID: "call-1", From: "n1"}
}

// last reads a call to its end.
func last(ctx context.Context, r host.Running) (chunks [][]byte, result []byte, err error) {
	for {
		m, err := r.Recv(ctx)
		switch {
		case err != nil:
			return chunks, nil, err
		case m.Last:
			return chunks, m.Payload, nil
		case m.Progress == nil:
			chunks = append(chunks, m.Payload)
		}
	}
}

func TestCallRunsOnTheOtherNodeAsItWas(t *testing.T) {
	var seen atomic.Pointer[host.Invocation]
	o := newOther(t, tool("look", func(_ context.Context, c *hosttest.Call) ([]byte, error) {
		seen.Store(&c.Invocation)
		return []byte("done"), nil
	}))
	f := forwarded("look", []byte("args"))
	f.Pool, f.Session, f.Metadata, f.Stream = "main", "s", map[string]string{"k": "v"}, true
	run, place, err := o.peers.Open(t.Context(), "n2", f)
	if err != nil {
		t.Fatal(err)
	}
	if place.Node != "n2" || place.Worker == "" || !place.Home || place.Epoch == 0 {
		t.Errorf("it runs at %+v", place)
	}
	_, result, err := last(t.Context(), run)
	if err != nil || string(result) != "done" {
		t.Errorf("%q, %v", result, err)
	}
	<-run.Done()
	got := seen.Load()
	if got.Session != "s" || string(got.Payload) != "args" || !got.Stream || !cmp.Equal(got.Metadata, f.Metadata) {
		t.Errorf("it ran as %+v", got)
	}
}

func TestLargePayloadsTravelInPartsBothWays(t *testing.T) {
	o := newOther(t, tool("echo", func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		if err := c.Emit(ctx, c.Payload); err != nil {
			return nil, err
		}
		return c.Payload, nil
	}))
	want := bytes.Repeat([]byte("0123456789abcdef"), 10<<16) // ten parts: more than one message may have
	f := forwarded("echo", want)
	f.Stream = true
	run, _, err := o.peers.Open(t.Context(), "n2", f)
	if err != nil {
		t.Fatal(err)
	}
	chunks, result, err := last(t.Context(), run)
	if err != nil || len(chunks) != 1 || !bytes.Equal(chunks[0], want) || !bytes.Equal(result, want) {
		t.Errorf("%d chunks, a result of %d bytes, %v", len(chunks), len(result), err)
	}
}

func TestChunksOfTheCallerReachTheOtherNodesTool(t *testing.T) {
	o := newOther(t, tool("sum", func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		var all []byte
		for {
			chunk, err := c.Next(ctx)
			if errors.Is(err, io.EOF) {
				return all, nil
			}
			if err != nil {
				return nil, err
			}
			all = append(all, chunk...)
		}
	}))
	f := forwarded("sum", nil)
	f.Input = true
	run, _, err := o.peers.Open(t.Context(), "n2", f)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 3<<20)
	for _, chunk := range []string{"a", large, "b"} {
		if err := run.Send(t.Context(), []byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, result, err := last(t.Context(), run)
	if err != nil || string(result) != "a"+large+"b" {
		t.Errorf("%d bytes, %v", len(result), err)
	}
}

func TestSlowReaderHoldsUpTheOtherNodesTool(t *testing.T) {
	var sent atomic.Int64
	const chunk = 64 << 10
	o := newOther(t, tool("flood", func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		for range 2000 {
			if err := c.Emit(ctx, make([]byte, chunk)); err != nil {
				return nil, err
			}
			sent.Add(1)
		}
		return nil, nil
	}))
	f := forwarded("flood", nil)
	f.Stream = true
	run, _, err := o.peers.Open(t.Context(), "n2", f)
	if err != nil {
		t.Fatal(err)
	}
	for before := int64(-1); before != sent.Load(); { // until it's held up
		before = sent.Load()
		<-time.After(200 * time.Millisecond)
	}
	if n := sent.Load(); n == 2000 {
		t.Errorf("all %d chunks were sent to somebody who doesn't read", n)
	}
	chunks, _, err := last(t.Context(), run)
	if err != nil || len(chunks) != 2000 {
		t.Errorf("%d chunks, %v", len(chunks), err)
	}
}

// stuckTool runs until it's cancelled, and says when it began and ended.
func stuckTool(began, ended chan<- error) hosttest.Tool {
	return tool("stuck", func(ctx context.Context, _ *hosttest.Call) ([]byte, error) {
		began <- nil
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	})
}

func TestCancelAndDeadlineReachTheOtherNode(t *testing.T) {
	began, ended := make(chan error, 1), make(chan error, 1)
	o := newOther(t, stuckTool(began, ended))
	run, _, err := o.peers.Open(t.Context(), "n2", forwarded("stuck", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	cause := errdefs.New(errdefs.Cancelled, "enough")
	run.Cancel(cause)
	if _, err := run.Recv(t.Context()); !errors.Is(err, cause) {
		t.Errorf("after the cancel: %v", err)
	}
	<-run.Done()
	<-ended
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	run, _, err = o.peers.Open(ctx, "n2", forwarded("stuck", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	if _, err := run.Recv(t.Context()); errdefs.ReasonOf(err) != errdefs.Deadline || !errdefs.MayHaveRun(err) {
		t.Errorf("after the deadline: %v", err)
	}
	<-ended
}

func TestRecvThatIsGivenUpEndsTheCall(t *testing.T) {
	began, ended := make(chan error, 1), make(chan error, 1)
	o := newOther(t, stuckTool(began, ended))
	run, _, err := o.peers.Open(t.Context(), "n2", forwarded("stuck", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run.Recv(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-ended
	<-run.Done()
}

func TestRefusalKeepsItsReasonAndHasntRun(t *testing.T) {
	o := newOther(t, echo())
	_, _, err := o.peers.Open(t.Context(), "n2", forwarded("nothing", nil))
	if errdefs.ReasonOf(err) != errdefs.ToolNotFound || errdefs.MayHaveRun(err) || errdefs.Of(err).Where.Node != "n2" {
		t.Errorf("%v", err)
	}
}

func TestNodeThatCannotBeDialledHasRunNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens there now
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for name, unknown := range map[string]error{"nobody listens": nil, "unknown": errors.New("who?")} {
		p := rpc.NewPeers(func(context.Context, string) (grpc.ClientConnInterface, error) { return conn, unknown })
		_, _, err := p.Open(t.Context(), "n2", forwarded("echo", nil))
		if errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.ServeTool(t.Context(), "n2", host.Invocation{Tool: "t"}); errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err) {
			t.Errorf("%s: a tool: %v", name, err)
		}
	}
}

func TestConnectionThatBreaksMayHaveRunTheCall(t *testing.T) {
	began, ended := make(chan error, 1), make(chan error, 1)
	o := newOther(t, stuckTool(began, ended))
	run, _, err := o.peers.Open(t.Context(), "n2", forwarded("stuck", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	o.conns()
	if _, err := run.Recv(t.Context()); errdefs.ReasonOf(err) != errdefs.HostUnreachable || !errdefs.MayHaveRun(err) {
		t.Errorf("after it was opened: %v", err)
	}
	<-run.Done()
	<-ended
}

func TestConnectionThatBreaksBeforeTheAnswerMayHaveRunTheCall(t *testing.T) {
	began, ended := make(chan error, 8), make(chan error, 8)
	o := newOther(t, stuckTool(began, ended))
	var running []host.Running
	for range 4 { // all slots of the worker
		run, _, err := o.peers.Open(t.Context(), "n2", forwarded("stuck", nil))
		if err != nil {
			t.Fatal(err)
		}
		<-began
		running = append(running, run)
	}
	waiting := make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() {
		_, _, err := o.peers.Open(t.Context(), "n2", forwarded("stuck", nil))
		waiting <- err
	})
	for o.engine.Status().Pools[0].Queued == 0 { // it has come there
		<-time.After(time.Millisecond)
	}
	o.conns()
	if err := <-waiting; errdefs.ReasonOf(err) != errdefs.HostUnreachable || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	for range running {
		<-ended
	}
	all.Wait()
}

func TestNodeWithoutAnEngineRefusesAll(t *testing.T) {
	o := newOther(t, echo())
	o.server.Bind(nil)
	_, _, err := o.peers.Open(t.Context(), "n2", forwarded("echo", nil))
	_, served := o.peers.ServeTool(t.Context(), "n2", host.Invocation{Tool: "t"})
	for name, err := range map[string]error{
		"open": err, "tool": served, "close": o.peers.CloseSession(t.Context(), "n2", "s"),
		"hand over": o.peers.HandOver(t.Context(), "n2", host.SavedSession{ID: "s"}),
		"move":      o.peers.MoveSession(t.Context(), "n2", "s", host.Owner{Node: "n3"}),
	} {
		if errdefs.ReasonOf(err) != errdefs.HostUnreachable || errdefs.MayHaveRun(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostToolOfAnotherNodeIsCalled(t *testing.T) {
	o := newOther(t, echo())
	args := bytes.Repeat([]byte("x"), 3<<20)
	var ancestors []host.SessionID
	if _, err := o.engine.Offer(host.HostTool{Tool: host.Tool{Name: "double"}, Exposed: true, Func: func(ctx context.Context, args []byte) ([]byte, error) {
		ancestors = host.Ancestors(ctx)
		return append(args, args...), nil
	}}); err != nil {
		t.Fatal(err)
	}
	want := []host.SessionID{"inner", "outer"}
	ctx := host.WithAncestors(t.Context(), want)
	got, err := o.peers.ServeTool(ctx, "n2", host.Invocation{ID: "c", Tool: "double", Payload: args, Session: "inner"})
	if err != nil || len(got) != 2*len(args) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if diff := cmp.Diff(want, ancestors); diff != "" {
		t.Errorf("its ancestors (-want +got):\n%s", diff)
	}
}

func TestSavedSessionsAndEndsReachTheOtherNode(t *testing.T) {
	o := newOther(t, echo())
	run, _, err := o.peers.Open(t.Context(), "n2", host.Forwarded{Request: host.Request{Tool: "echo", Session: "s"}, ID: "c", From: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := last(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if err := o.peers.HandOver(t.Context(), "n2", host.SavedSession{ID: "t", Epoch: 1, Saved: []byte("x")}); err != nil {
		t.Errorf("hand over: %v", err)
	}
	if err := o.peers.HandOver(t.Context(), "n2", host.SavedSession{ID: "t", Epoch: 1, Saved: make([]byte, 9<<20)}); errdefs.ReasonOf(err) != errdefs.PayloadTooLarge {
		t.Errorf("too much: %v", err)
	}
	if err := o.peers.CloseSession(t.Context(), "n2", "s"); err != nil {
		t.Errorf("close: %v", err)
	}
	if all, err := o.engine.Sessions(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v is left, %v", all, err)
	}
}
