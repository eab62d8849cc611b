package host_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (r *rig) offer(name string, exposed bool, f func(context.Context, []byte) ([]byte, error)) (remove func()) {
	r.Helper()
	remove, err := r.Offer(host.HostTool{Tool: host.Tool{Name: name, Description: "does " + name, InputSchema: "{}"}, Exposed: exposed, Func: f})
	if err != nil {
		r.Fatal(err)
	}
	return remove
}

func says(text string) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return []byte(text), nil }
}

func TestWorkersCallExposedHostToolsOnly(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		remove := r.offer("validate", true, says("valid"))
		r.offer("secret", false, says("secret"))
		if got := r.must(host.Request{Tool: "ask", Payload: []byte("validate")}); string(got) != "valid" {
			r.Errorf("got %q", got)
		}
		r.fails(host.Request{Tool: "ask", Payload: []byte("secret")}, errdefs.ToolNotFound)
		e := r.fails(host.Request{Tool: "ask", Payload: []byte("valdate")}, errdefs.ToolNotFound)
		if !strings.Contains(e.Hint, "validate") {
			r.Errorf("hint %q", e.Hint)
		}
		r.fails(host.Request{Tool: "ask", Payload: []byte("no good name")}, errdefs.InvalidToolName)
		remove()
		remove()
		r.fails(host.Request{Tool: "ask", Payload: []byte("validate")}, errdefs.ToolNotFound)
	})
}

func TestGoCallersCallHostToolsToo(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.offer("secret", false, says("42"))
		c := r.open(host.Request{Tool: "secret"})
		m, err := c.Recv(r.Context())
		if err != nil || !m.Last || string(m.Payload) != "42" || c.Worker() != "" || c.Pool() != "" {
			r.Errorf("got %+v from %q, %v", m, c.Worker(), err)
		}
	})
}

func TestTakenNamesAndBadToolsAreRefused(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		remove := r.offer("a", true, says(""))
		for name, want := range map[string]errdefs.Reason{
			"a": errdefs.Exists, "snakepit.tools": errdefs.InvalidToolName, "snakepit.mine": errdefs.InvalidToolName, "": errdefs.InvalidToolName, strings.Repeat("x", 65): errdefs.InvalidToolName,
		} {
			_, err := r.Offer(host.HostTool{Tool: host.Tool{Name: name}, Func: says("")})
			r.wantReason(err, want)
		}
		_, err := r.Offer(host.HostTool{Tool: host.Tool{Name: "b"}})
		r.wantReason(err, errdefs.InvalidArguments)
		remove()
		again := r.offer("a", true, says(""))
		remove() // must not take the new one away
		r.must(host.Request{Tool: "a"})
		again()
	})
}

func TestBuiltInToolListsWhatIsExposed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.offer("b", true, says(""))
		r.offer("a", true, says(""))
		r.offer("hidden", false, says(""))
		var got []map[string]string
		if err := msgpack.Unmarshal(r.must(host.Request{Tool: "ask", Payload: []byte("snakepit.tools")}), &got); err != nil {
			r.Fatal(err)
		}
		want := []map[string]string{
			{"name": "a", "description": "does a", "input_schema": "{}"},
			{"name": "b", "description": "does b", "input_schema": "{}"},
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Errorf("tools (-want +got):\n%s", d)
		}
	})
}

func TestPanicInAHostToolFailsOneCall(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.offer("boom", true, func(context.Context, []byte) ([]byte, error) {
			panic("no") //nolint:forbidigo // what is tested
		})
		r.fails(host.Request{Tool: "ask", Payload: []byte("boom")}, errdefs.Internal)
		r.fails(host.Request{Tool: "boom"}, errdefs.Internal)
		r.must(host.Request{Tool: "echo"})
	})
}

func TestHostToolsOfWorkersAreBounded(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { c.HostToolLimit, l.Slots = 2, 2 }
	inBubble(t, change, func(r *rig) {
		r.offer("slow", true, func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		for range 2 {
			r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("slow")})
		}
		r.fails(host.Request{Tool: "ask", Payload: []byte("slow")}, errdefs.QueueFull)
	})
}

func TestNestedCallSharesTheDeadline(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		var nested time.Time
		r.offer("nest", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			nested, _ = ctx.Deadline()
			return r.do(ctx, host.Request{Tool: "busy"})
		})
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		took := timed(func() {
			_, err := r.do(ctx, host.Request{Tool: "ask", Payload: []byte("nest")})
			r.wantReason(err, errdefs.Deadline)
		})
		if want, _ := ctx.Deadline(); took != 2*time.Second || !nested.Equal(want) {
			r.Errorf("took %s; the nested deadline is %s, want %s", took, nested, want)
		}
		synctest.Wait()
		if s := r.settled(); s.Busy != 0 {
			r.Errorf("%d slots are still busy", s.Busy)
		}
	})
}

func TestNestedCallOfItsAncestorsSessionFailsAtOnce(t *testing.T) {
	inBubble(t, func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 3 }, func(r *rig) {
		r.offer("same", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			return r.do(ctx, host.Request{Tool: "echo", Session: "s"})
		})
		r.offer("other", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			return r.do(ctx, host.Request{Tool: "ask", Session: "t", Payload: []byte("same")})
		})
		took := timed(func() {
			r.fails(host.Request{Tool: "ask", Session: "s", Payload: []byte("same")}, errdefs.CallCycle)
			r.fails(host.Request{Tool: "ask", Session: "s", Payload: []byte("other")}, errdefs.CallCycle)
			r.must(host.Request{Tool: "ask", Session: "t", Payload: []byte("same")})
		})
		if took != 0 {
			r.Errorf("took %s", took)
		}
	})
}

func TestNestedCallsMayRunWhileTheHostDrains(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.offer("late", true, func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return r.do(ctx, host.Request{Tool: "echo", Payload: []byte("in time")})
		})
		running := r.start(r.Context(), host.Request{Tool: "ask", Payload: []byte("late")})
		if err := r.stop(); err != nil {
			r.Error(err)
		}
		if err := <-running; err != nil {
			r.Error(err)
		}
	})
}

func TestRunWaitsForHostToolsOfGoCallers(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.ShutdownTimeout = time.Second }
	inBubble(t, change, func(r *rig) {
		var ended atomic.Bool
		r.offer("tidy", false, func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(3 * time.Second) // tidies up
			ended.Store(true)
			return nil, ctx.Err()
		})
		running := r.start(r.Context(), host.Request{Tool: "tidy"})
		if err := r.stop(); err != nil || !ended.Load() {
			r.Errorf("Run ended (%v) before the host tool: %t", err, ended.Load())
		}
		r.wantReason(<-running, errdefs.Draining)
	})
}

func TestHostToolsAreListedAmongTheTools(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.offer("echo", true, says("the host's"))
		if err := r.Ready(r.Context()); err != nil {
			r.Fatal(err)
		}
		var got []string
		for _, tool := range r.Tools("") {
			if tool.Name == "echo" {
				got = append(got, tool.Pool)
			}
		}
		if d := cmp.Diff([]string{"", "ml"}, got); d != "" {
			r.Errorf("pools with echo (-want +got):\n%s", d)
		}
		if got := r.must(host.Request{Tool: "echo"}); string(got) != "the host's" {
			r.Errorf("an unnamed pool gives %q", got)
		}
		if got := r.must(host.Request{Tool: "echo", Pool: "ml", Payload: []byte("x")}); string(got) != "x" {
			r.Errorf("pool ml gives %q", got)
		}
	})
}

func TestErrorOfAHostToolKeepsItsText(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		mine := errors.New("order 7 is too large")
		r.offer("validate", true, func(context.Context, []byte) ([]byte, error) { return nil, mine })
		e := r.fails(host.Request{Tool: "ask", Payload: []byte("validate")}, errdefs.PythonException)
		if e.Exception == nil || e.Exception.Message != mine.Error() || e.Exception.Type != "*errors.errorString" {
			r.Errorf("exception %+v", e.Exception)
		}
		if _, err := r.do(r.Context(), host.Request{Tool: "validate"}); !errors.Is(err, mine) || !errors.Is(err, errdefs.ErrToolFailed) {
			r.Errorf("error %v is neither the function's own nor a failed tool", err)
		}
	})
}
