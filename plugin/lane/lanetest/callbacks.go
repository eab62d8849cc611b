package lanetest

import (
	"bytes"
	"context"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// callbacks are the rules of the worker's calls to the host.
func callbacks() []test {
	return []test{
		{name: "HostToolAnswersTheWorker", run: func(r *rig) {
			r.tool("twice", func(_ context.Context, v any) (any, error) { return []any{v, v}, nil })
			for range 50 {
				var out []string
				if r.call(&out, "call_back", "tool", "twice", "value", "a"); !cmp.Equal([]string{"a", "a"}, out) {
					r.Fatalf("the host's result is %v", out)
				}
			}
		}},
		{name: "HostToolsHugeResultArrives", run: func(r *rig) {
			r.tool("fill", func(context.Context, any) (any, error) { return blob(5 << 20), nil })
			var out []byte
			if r.call(&out, "call_back", "tool", "fill", "value", nil); !bytes.Equal(blob(5<<20), out) {
				r.Error("the host's result is wrong")
			}
		}},
		{name: "HostToolTakesHugeArguments", run: func(r *rig) {
			r.tool("length", func(_ context.Context, v any) (any, error) {
				data, _ := v.([]byte)
				return len(data), nil
			})
			var out int
			if r.call(&out, "call_back", "tool", "length", "value", blob(5<<20)); out != 5<<20 {
				r.Errorf("%d bytes arrived", out)
			}
		}},
		{name: "HostToolsErrorReachesTheTool", run: func(r *rig) {
			r.tool("refuse", func(context.Context, any) (any, error) {
				return nil, errdefs.New(errdefs.RateLimited, "not so fast")
			})
			e := r.failure(r.open(lane.Request{Tool: "call_back"}, "tool", "refuse", "value", 1))
			if e.Reason != errdefs.RateLimited || e.Message != "not so fast" {
				r.Errorf("the error is %v", e)
			}
		}},
		{name: "UnknownHostToolIsNotFound", run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "call_back"}, "tool", "nobody", "value", 1), errdefs.ToolNotFound)
		}},
		{name: "DrainingHostTakesNoCalls", run: func(r *rig) {
			r.tool("twice", func(_ context.Context, v any) (any, error) { return v, nil })
			r.lane.Drain()
			r.fails(r.open(lane.Request{Tool: "call_back"}, "tool", "twice", "value", 1), errdefs.Draining)
		}},
		{name: "HostToolEndsWithTheCallThatCalledIt", run: func(r *rig) {
			began, ended := make(chan struct{}), make(chan struct{})
			r.tool("wait", func(ctx context.Context, _ any) (any, error) {
				close(began)
				defer close(ended)
				<-ctx.Done()
				return nil, ctx.Err()
			})
			c := r.open(lane.Request{Tool: "call_back"}, "tool", "wait", "value", 1)
			r.wait(began, "the host tool doesn't begin")
			r.cancel(c)
			r.wait(ended, "the host tool doesn't end")
			r.done(c)
		}},
		{name: "HostToolSeesItsParent", run: func(r *rig) {
			var c *lane.Call
			r.tool("twice", func(_ context.Context, v any) (any, error) { return v, nil })
			parents := make(chan uint64, 1)
			r.onServe(func(in *lane.Inbound) { parents <- in.Request().Parent })
			c = r.open(lane.Request{Tool: "call_back"}, "tool", "twice", "value", "x")
			r.result(c, nil)
			if got := <-parents; got != c.ID() {
				r.Errorf("the host tool's parent is %d, and the call %d", got, c.ID())
			}
		}},
	}
}

func (r *rig) wait(ch <-chan struct{}, or string) {
	r.Helper()
	select {
	case <-ch:
	case <-r.ctx.Done():
		r.Fatal(or)
	}
}
