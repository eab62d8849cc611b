package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// node is one host of several, which counts the calls that it ran.
type node struct {
	*rig
	calls atomic.Int64
}

// several starts hosts, each of which says that owner has every session; zero: each
// by itself.
func several(t *testing.T, n int, owner *atomic.Pointer[string]) []*node {
	t.Helper()
	var all []*node
	for range n {
		one := &node{}
		one.rig = startWith(t, rpc.Config{Owner: func(host.SessionID) string {
			if owner == nil || owner.Load() == nil || *owner.Load() == "unix:"+one.socket {
				return ""
			}
			return *owner.Load()
		}}, tool("count", func(_ context.Context, call *hosttest.Call) ([]byte, error) {
			one.calls.Add(1)
			return call.Payload, nil
		}))
		all = append(all, one)
	}
	return all
}

func dialAll(t *testing.T, nodes []*node, more ...string) *client.Client {
	t.Helper()
	targets := more
	for _, n := range nodes {
		targets = append(targets, n.socket)
	}
	c, err := client.Dial(t.Context(), strings.Join(targets, ", "))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCallsGoToWhateverNodeAnswers(t *testing.T) {
	nodes := several(t, 2, nil)
	c := dialAll(t, nodes, "127.0.0.1:1")
	call := func() {
		t.Helper()
		var out map[string]int
		if err := c.Call(t.Context(), "count", map[string]int{"x": 1}, &out); err != nil || out["x"] != 1 {
			t.Errorf("%v, %v", out, err)
		}
	}
	for range 6 {
		call()
	}
	if a, b := nodes[0].calls.Load(), nodes[1].calls.Load(); a < 2 || b < 2 {
		t.Errorf("they ran %d and %d calls of 6", a, b)
	}
	nodes[0].stop()
	for range 6 {
		call()
	}
	for chunk, err := range c.Stream(t.Context(), "count", map[string]int{"x": 1}) {
		if err != nil {
			t.Errorf("a stream: %v, %v", chunk, err)
		}
	}
}

func TestSessionsCallsGoToTheirOwnerOnceItIsKnown(t *testing.T) {
	var owner atomic.Pointer[string]
	nodes := several(t, 3, &owner)
	has := "unix:" + nodes[2].socket
	owner.Store(&has)
	c := dialAll(t, nodes[:2]) // the owner isn't even among those that were named
	for range 8 {
		if err := c.Call(t.Context(), "count", nil, nil, snakepit.Session("s")); err != nil {
			t.Fatal(err)
		}
	}
	if n := nodes[2].calls.Load(); n != 7 {
		t.Errorf("the owner ran %d calls, want all but the first", n)
	}
	nodes[2].stop()
	has = "unix:" + nodes[1].socket
	for range 4 {
		for _, err := range c.Stream(t.Context(), "count", map[string]int{"x": 1}, snakepit.Session("s")) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := nodes[1].calls.Load(); n < 3 {
		t.Errorf("the new owner ran %d calls of 4", n)
	}
}

func TestDialNeedsOneNodeThatAnswers(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, "127.0.0.1:1,127.0.0.1:2"); !errors.Is(err, context.DeadlineExceeded) || errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	if _, err := client.Dial(t.Context(), " , "); errdefs.ReasonOf(err) != errdefs.HostUnreachable {
		t.Errorf("%v", err)
	}
}

func TestWhatMayHaveRunIsAskedOfAnotherNodeOnlyIfItMayRunTwice(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		nodes, begun := several(t, 1, nil), make(chan struct{}, 1)
		breaking := start(t, tool("count", func(ctx context.Context, _ *hosttest.Call) ([]byte, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}))
		c := dialAll(t, nodes, breaking.socket)
		var opts []snakepit.CallOption
		if idempotent {
			opts = append(opts, snakepit.Idempotent())
		}
		var all sync.WaitGroup
		errs := make(chan error, 2)
		for range 2 { // in turn: one of them comes to the node that breaks
			all.Go(func() { errs <- c.Call(t.Context(), "count", map[string]int{}, nil, opts...) })
		}
		<-begun
		breaking.listener.breakAll()
		all.Wait()
		err := errors.Join(<-errs, <-errs)
		switch {
		case idempotent && err != nil:
			t.Errorf("it might have run twice, and failed: %v", err)
		case !idempotent && (errdefs.ReasonOf(err) != errdefs.HostUnreachable || !errdefs.MayHaveRun(err)):
			t.Errorf("it mustn't run twice: %v", err)
		}
		_ = c.Close()
		breaking.stop()
	}
}

func TestNodeThatIsSilentIsGivenUp(t *testing.T) {
	nodes := several(t, 1, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := dialAll(t, nodes, l.Addr().String())
	began := time.Now()
	for range 6 {
		if err := c.Call(t.Context(), "count", nil, nil); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("six calls took %s", took)
	}
}

func TestCallOnANodeThatHangsEndsSoon(t *testing.T) {
	nodes, begun := several(t, 1, nil), make(chan struct{}, 1)
	hanging := start(t, stuck(begun, make(chan struct{}, 1)))
	stop, proxy := make(chan struct{}), listen(t)
	var all sync.WaitGroup
	all.Go(func() { relay(proxy, hanging.socket, stop, &all) })
	c := dialAll(t, nodes, proxy.Addr().String())
	failed := make(chan error, 1)
	all.Go(func() {
		for {
			err := c.Call(t.Context(), "stuck", nil, nil)
			if errdefs.ReasonOf(err) != errdefs.ToolNotFound { // the other node has none
				failed <- err
				return
			}
		}
	})
	<-begun
	began := time.Now()
	close(stop)
	if err := <-failed; errdefs.ReasonOf(err) != errdefs.HostUnreachable || !errdefs.MayHaveRun(err) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	_ = c.Close()
	_ = proxy.Close()
	hanging.listener.breakAll()
	all.Wait()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// relay carries connections to a socket, and nothing any more once stop is closed.
func relay(l net.Listener, socket string, stop <-chan struct{}, all *sync.WaitGroup) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("unix", socket)
		if err != nil {
			_ = from.Close()
			return
		}
		all.Go(func() { carry(from, to, stop) })
		all.Go(func() { carry(to, from, stop) })
	}
}

func carry(from, to net.Conn, stop <-chan struct{}) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		select {
		case <-stop: // it's lost
		default:
			if _, err := to.Write(b[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
	}
}
