package host_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// gpuElsewhere gives n2 and n3 a pool gpu with a tool render, beside ml.
func gpuElsewhere(id string, c *host.Config, l *hosttest.Launcher) {
	if id == "n1" {
		return
	}
	c.Pools[0].Name = "gpu"
	l.Tools = append(l.Tools, hosttest.Tool{
		Tool: host.Tool{Name: "render", Description: "Renders.", Stream: true},
		Run:  func(_ context.Context, c *hosttest.Call) ([]byte, error) { return c.Payload, nil },
	})
}

func TestCallGoesWhereItsToolIs(t *testing.T) {
	bubbleOf(t, 3, gpuElsewhere, func(n *nodes) {
		on := map[string]int{}
		for range 10 {
			on[n.where("n1", host.Request{Tool: "render"})]++
			on[n.where("n1", host.Request{Tool: "echo", Pool: "gpu"})]++
		}
		if on["n1"] != 0 || on["n2"] < 5 || on["n3"] < 5 {
			n.Errorf("calls by node: %v", on)
		}
		if at := n.where("n1", host.Request{Tool: "echo"}); at != "n1" {
			n.Errorf("a call whose tool is here ran on %s", at)
		}
		c := n.rigs["n1"].open(host.Request{Tool: "render"})
		defer c.Close()
		if tool := c.Tool(); tool.Description != "Renders." || !tool.Stream {
			n.Errorf("tool %+v", tool)
		}
	})
}

func TestSessionIsOpenedWhereItsToolIs(t *testing.T) {
	bubbleOf(t, 3, gpuElsewhere, func(n *nodes) {
		for _, id := range []host.SessionID{"a", "b", "c", "d"} {
			at := n.where("n1", host.Request{Tool: "render", Session: id})
			if owned := n.cluster.Owned(n.members[at]); at == "n1" || !slices.Contains(owned, id) {
				n.Errorf("%s runs on %s, which owns %v", id, at, owned)
			}
			if next := n.where("n1", host.Request{Tool: "echo", Session: id}); next != at {
				n.Errorf("%s went from %s to %s", id, at, next)
			}
		}
		if a, b := len(n.cluster.Owned(n.members["n2"])), len(n.cluster.Owned(n.members["n3"])); a != 2 || b != 2 {
			n.Errorf("%d and %d sessions", a, b)
		}
	})
}

func TestCallGoesOnToTheNextNodeThatOffersItsTool(t *testing.T) {
	bubbleOf(t, 3, gpuElsewhere, func(n *nodes) {
		n.members["n2"].SetReachable(false)
		for range 4 {
			if took := timed(func() { n.where("n1", host.Request{Tool: "render"}) }); took > 0 {
				n.Errorf("it took %s to go on", took)
			}
		}
		n.members["n3"].SetReachable(false)
		after(n.T, time.Second, func() { n.members["n3"].SetReachable(true) })
		took := timed(func() { n.where("n1", host.Request{Tool: "render"}) })
		if took < time.Second || took > 1200*time.Millisecond {
			n.Errorf("found after %s", took)
		}
		n.members["n3"].SetReachable(false)
		ctx, cancel := within(time.Second)
		defer cancel()
		_, err := n.rigs["n1"].do(ctx, host.Request{Tool: "render"})
		e := n.rigs["n1"].wantReason(err, errdefs.Deadline)
		if n.rigs["n1"].wantRan(e, false); !strings.Contains(e.Hint, "can't be reached") {
			n.Errorf("hint %q", e.Hint)
		}
	})
}

func TestWhatNobodyHasIsNotFound(t *testing.T) {
	bubbleOf(t, 3, gpuElsewhere, func(n *nodes) {
		r := n.rigs["n1"]
		if e := r.fails(host.Request{Tool: "rendre"}, errdefs.ToolNotFound); e.Hint != "did you mean render?" {
			n.Errorf("hint %q", e.Hint)
		}
		if e := r.fails(host.Request{Tool: "echo", Pool: "gpus"}, errdefs.PoolNotFound); e.Hint != "did you mean gpu?" {
			n.Errorf("hint %q", e.Hint)
		}
		if e := r.fails(host.Request{Tool: "rendre", Pool: "gpu"}, errdefs.ToolNotFound); !strings.Contains(e.Message, "pool gpu") {
			n.Errorf("%+v", e)
		}
		n.fail("n2")
		n.fail("n3")
		r.fails(host.Request{Tool: "render"}, errdefs.ToolNotFound)
	})
}

func TestToolOfSeveralPoolsElsewhereIsAmbiguous(t *testing.T) {
	change := func(id string, c *host.Config, l *hosttest.Launcher) {
		if gpuElsewhere(id, c, l); id == "n3" {
			c.Pools[0].Name = "tpu"
		}
	}
	bubbleOf(t, 3, change, func(n *nodes) {
		e := n.rigs["n1"].fails(host.Request{Tool: "render"}, errdefs.InvalidArguments)
		if !strings.Contains(e.Message, "gpu, tpu") {
			n.Errorf("%+v", e)
		}
		if at := n.where("n1", host.Request{Tool: "render", Pool: "tpu"}); at != "n3" {
			n.Errorf("ran on %s", at)
		}
	})
}

func TestPoolThatCannotStartHereRunsElsewhere(t *testing.T) {
	change := func(id string, _ *host.Config, l *hosttest.Launcher) {
		if id == "n1" {
			l.OnLaunch = func(context.Context, host.Spec, int) error {
				return errdefs.New(errdefs.StartFailed, "no module named torch")
			}
		}
	}
	bubbleOf(t, 2, change, func(n *nodes) {
		for _, req := range []host.Request{{Tool: "echo"}, {Tool: "echo", Pool: "ml"}, {Tool: "echo", Session: "s"}} {
			if at := n.where("n1", req); at != "n2" {
				n.Errorf("%+v ran on %s", req, at)
			}
		}
		n.fail("n2")
		n.rigs["n1"].fails(host.Request{Tool: "echo"}, errdefs.StartFailed)
	})
}

func TestLongQueueSpillsToAnotherNode(t *testing.T) {
	change := func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Spill = 2 }
	bubbleOf(t, 2, change, func(n *nodes) {
		r := n.rigs["n1"]
		var outs []<-chan error
		for range 9 { // two run, five wait: more than two for each of two slots
			outs = append(outs, r.start(n.Context(), host.Request{Tool: "work"}))
		}
		if here, there := n.rigs["n1"].settled(), n.rigs["n2"].settled(); here.Busy != 2 || here.Queued != 5 || there.Busy != 2 || there.Queued != 0 {
			n.Errorf("here %d run and %d wait, there %d and %d", here.Busy, here.Queued, there.Busy, there.Queued)
		}
		n.members["n2"].SetReachable(false)
		outs = append(outs, r.start(n.Context(), host.Request{Tool: "work"})) // it stays
		n.members["n2"].SetReachable(true)
		s := r.start(n.Context(), host.Request{Tool: "work", Session: "s"}) // and so does one of a session
		if here := r.settled(); here.Queued != 7 {
			n.Errorf("%d wait", here.Queued)
		}
		for _, out := range append(outs, s) {
			if err := <-out; err != nil {
				n.Error(err)
			}
		}
		if owned := n.cluster.Owned(n.members["n1"]); len(owned) != 1 {
			n.Errorf("n1 owns %v", owned)
		}
		if here := r.settled(); here.Received != here.OK || here.Open != 0 {
			n.Errorf("received %d, ok %d, open %d", here.Received, here.OK, here.Open)
		}
	})
}

func TestWithoutSpillTheQueueIsOnesOwn(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		var outs []<-chan error
		for range 9 {
			outs = append(outs, n.rigs["n1"].start(n.Context(), host.Request{Tool: "work"}))
		}
		for _, out := range outs {
			if err := <-out; err != nil {
				n.Error(err)
			}
		}
		if n.runs("n2") != 0 {
			n.Errorf("%d calls went away", n.runs("n2"))
		}
	})
}

func TestSpilledCallIsNotHandedBack(t *testing.T) {
	change := func(_ string, c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Spill = 1 }
	bubbleOf(t, 2, change, func(n *nodes) {
		var outs []<-chan error
		for range 12 {
			outs = append(outs, n.rigs["n1"].start(n.Context(), host.Request{Tool: "work"}), n.rigs["n2"].start(n.Context(), host.Request{Tool: "work"}))
		}
		for _, out := range outs {
			if err := <-out; err != nil && errdefs.ReasonOf(err) != errdefs.QueueTimeout {
				n.Error(err)
			}
		}
		if got := n.members["n1"].Asked() + n.members["n2"].Asked(); got > 24 {
			n.Errorf("24 calls were handed over %d times", got)
		}
	})
}

func TestCatalogueListsTheToolsOfAllNodes(t *testing.T) {
	bubbleOf(t, 3, gpuElsewhere, func(n *nodes) {
		n.offer("n2", "lookup", func(context.Context, []byte) ([]byte, error) { return nil, nil })
		var names []string
		for _, tool := range n.rigs["n1"].Tools("") {
			names = append(names, tool.Pool+"/"+tool.Name)
		}
		for want, times := range map[string]int{"/lookup": 1, "gpu/render": 1, "gpu/echo": 1, "ml/echo": 1} {
			if got := len(names) - len(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == want })); got != times {
				n.Errorf("%s stands there %d times: %v", want, got, names)
			}
		}
		if got := n.rigs["n1"].Tools("gpu"); len(got) == 0 || got[len(got)-1].Pool != "gpu" {
			n.Errorf("of pool gpu: %v", got)
		}
	})
}

func TestToolsAreToldOnceForManyChanges(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		before := n.members["n1"].Published()
		var removes []func()
		for _, name := range []string{"a", "b", "c", "d"} {
			remove, err := n.rigs["n1"].Offer(host.HostTool{
				Tool: host.Tool{Name: name}, Func: func(context.Context, []byte) ([]byte, error) { return nil, nil },
			})
			if err != nil {
				n.Fatal(err)
			}
			removes = append(removes, remove)
		}
		time.Sleep(time.Second)
		if got := n.members["n1"].Published() - before; got != 1 {
			n.Errorf("told %d times", got)
		}
		if at := n.where("n2", host.Request{Tool: "a"}); at != "n1" { // not exposed to workers, but to Go callers
			n.Errorf("ran on %s", at)
		}
		for _, remove := range removes {
			remove()
		}
		time.Sleep(time.Second)
		n.rigs["n2"].fails(host.Request{Tool: "a"}, errdefs.ToolNotFound)
		before = n.members["n1"].Published()
		time.Sleep(time.Hour)
		if n.members["n1"].Published() != before {
			n.Error("told again although nothing had changed")
		}
		n.members["n1"].Register()
		time.Sleep(2 * time.Second)
		if n.members["n1"].Published() != before+1 {
			n.Error("not told again under the new incarnation")
		}
	})
}

func TestToolsAreToldOnceThereIsAMajority(t *testing.T) {
	failures := 3
	change := func(id string, c *host.Config, _ *hosttest.Launcher) {
		if node, ok := c.Registry.(*hosttest.Node); ok && id == "n2" {
			node.OnPublish = func([]host.OfferedTool) error {
				if failures--; failures >= 0 {
					return errdefs.New(errdefs.NoQuorum, "no leader")
				}
				return nil
			}
		}
	}
	bubbleOf(t, 2, change, func(n *nodes) {
		if n.members["n2"].Published() != 0 {
			n.Error("told at once")
		}
		time.Sleep(5 * time.Second)
		if n.members["n2"].Published() != 1 {
			n.Errorf("told %d times", n.members["n2"].Published())
		}
	})
}

func TestWorkerCallsAHostToolOfAnotherNode(t *testing.T) {
	bubbleOf(t, 3, nil, func(n *nodes) {
		var chain []host.SessionID
		n.offer("n2", "lookup", func(ctx context.Context, args []byte) ([]byte, error) {
			chain = host.Ancestors(ctx)
			return append([]byte("n2:"), args...), nil
		})
		if got := string(n.rigs["n1"].must(host.Request{Tool: "ask", Payload: []byte("lookup"), Session: "s"})); got != "n2:" {
			n.Errorf("%q", got)
		}
		if !slices.Equal(chain, []host.SessionID{"s"}) {
			n.Errorf("ancestors %q", chain)
		}
		n.offer("n1", "lookup", func(context.Context, []byte) ([]byte, error) { return []byte("n1:"), nil })
		if got := string(n.rigs["n1"].must(host.Request{Tool: "ask", Payload: []byte("lookup")})); got != "n1:" {
			n.Errorf("the local one comes first: %q", got)
		}
		on := map[string]int{}
		for range 4 {
			on[string(n.rigs["n3"].must(host.Request{Tool: "ask", Payload: []byte("lookup")}))]++
		}
		if on["n1:"] != 2 || on["n2:"] != 2 {
			n.Errorf("calls by node: %v", on)
		}
		n.members["n2"].SetReachable(false)
		for range 2 {
			n.rigs["n3"].must(host.Request{Tool: "ask", Payload: []byte("lookup")})
		}
	})
}

func TestWorkersSeeTheHostToolsOfAllNodes(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		nothing := func(context.Context, []byte) ([]byte, error) { return nil, nil }
		n.offer("n1", "a", nothing)
		n.offer("n2", "a", nothing)
		n.offer("n2", "b", nothing)
		if _, err := n.rigs["n2"].Offer(host.HostTool{Tool: host.Tool{Name: "hidden"}, Func: nothing}); err != nil {
			n.Fatal(err)
		}
		time.Sleep(time.Second)
		var list []struct {
			Name string `msgpack:"name"`
		}
		if err := msgpack.Unmarshal(n.rigs["n1"].must(host.Request{Tool: "ask", Payload: []byte("snakepit.tools")}), &list); err != nil {
			n.Fatal(err)
		}
		if len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
			n.Errorf("%+v", list)
		}
		n.rigs["n1"].fails(host.Request{Tool: "ask", Payload: []byte("hidden")}, errdefs.ToolNotFound)
		_, err := n.rigs["n2"].ServePeerTool(n.Context(), host.Invocation{Tool: "hidden"})
		n.rigs["n2"].wantReason(err, errdefs.ToolNotFound)
	})
}

func TestHostToolOfAnotherNodeEndsWithTheHostThatRunsIt(t *testing.T) {
	change := func(_ string, c *host.Config, _ *hosttest.Launcher) { c.ShutdownTimeout = time.Second }
	bubbleOf(t, 2, change, func(n *nodes) {
		n.offer("n2", "slow", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		out := n.rigs["n1"].start(n.Context(), host.Request{Tool: "ask", Payload: []byte("slow")})
		synctest.Wait()
		if took := timed(func() { _ = n.rigs["n2"].stop() }); took < time.Second || took > 2*time.Second {
			n.Errorf("stopped after %s", took)
		}
		n.rigs["n1"].wantReason(<-out, errdefs.Draining)
		_, err := n.rigs["n2"].ServePeerTool(n.Context(), host.Invocation{Tool: "slow"})
		n.rigs["n2"].wantReason(err, errdefs.Draining)
	})
}
