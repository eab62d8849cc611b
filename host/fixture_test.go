package host_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// rig is a host that runs in the test's bubble, on fake workers.
type rig struct {
	*testing.T

	*host.Host
	launcher *hosttest.Launcher
	stop     func() error // ends Run and waits for it; safe to call twice
}

// inBubble runs a test on a host with one pool, ml, of two workers with one slot
// each; change alters that.
func inBubble(t *testing.T, change func(*host.Config, *hosttest.Launcher), test func(r *rig)) {
	t.Helper()
	t.Parallel()
	inBubbleNow(t, change, test)
}

// inBubbleNow is inBubble for a test with several bubbles, one after the other.
func inBubbleNow(t *testing.T, change func(*host.Config, *hosttest.Launcher), test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, change)
		test(r)
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if live := r.launcher.Live(); len(live) > 0 {
			t.Errorf("%d workers outlive their host", len(live))
		}
	})
}

func newRig(t *testing.T, change func(*host.Config, *hosttest.Launcher)) *rig {
	t.Helper()
	l := &hosttest.Launcher{Tools: tools()}
	cfg := host.Config{
		Node:     "n1",
		Launcher: l,
		Pools:    []host.PoolConfig{{Name: "ml", Command: host.Command{Path: "fake", Adapter: "fake.py"}, Size: 2}},
	}
	if change != nil {
		change(&cfg, l)
	}
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop := func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return &rig{T: t, Host: h, launcher: l, stop: stop}
}

// tools are what the fake workers offer: echo gives its payload back, work takes
// a second, busy takes ten, stuck ignores its cancel, count yields three chunks,
// crash kills its worker, ask calls the host tool that its payload names.
func tools() []hosttest.Tool {
	plain := func(name string, run func(ctx context.Context, c *hosttest.Call) ([]byte, error)) hosttest.Tool {
		return hosttest.Tool{Tool: host.Tool{Name: name}, Run: run}
	}
	return []hosttest.Tool{
		plain("echo", func(_ context.Context, c *hosttest.Call) ([]byte, error) { return c.Payload, nil }),
		plain("short", takes(100*time.Millisecond)),
		plain("work", takes(time.Second)),
		plain("busy", takes(10*time.Second)),
		plain("stuck", func(_ context.Context, c *hosttest.Call) ([]byte, error) { <-c.Killed(); return nil, nil }),
		plain("crash", func(_ context.Context, c *hosttest.Call) ([]byte, error) { c.Worker.Crash(); return nil, nil }),
		plain("fail", func(context.Context, *hosttest.Call) ([]byte, error) {
			return nil, errdefs.New(errdefs.PythonException, "ValueError: no")
		}),
		plain("ask", func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			return c.Host(ctx, string(c.Payload), nil)
		}),
		{Tool: host.Tool{Name: "count", Stream: true}, Run: func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			for _, b := range []string{"1", "2", "3"} {
				if err := c.Emit(ctx, []byte(b)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
		{Tool: host.Tool{Name: "join", InputStream: "parts"}, Run: func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			var all []byte
			for {
				b, err := c.Next(ctx)
				if err != nil {
					return all, nil //nolint:nilerr // the end of the chunks, or of the call
				}
				all = append(all, b...)
			}
		}},
	}
}

func takes(d time.Duration) func(context.Context, *hosttest.Call) ([]byte, error) {
	return func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		select {
		case <-time.After(d):
			return c.Payload, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// do runs a call to its end.
func (r *rig) do(ctx context.Context, req host.Request) ([]byte, error) {
	c, err := r.Open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for {
		m, err := c.Recv(ctx)
		if err != nil || m.Last {
			return m.Payload, err
		}
	}
}

func (r *rig) must(req host.Request) []byte {
	r.Helper()
	out, err := r.do(r.Context(), req)
	if err != nil {
		r.Fatalf("%+v: %v", req, err)
	}
	return out
}

func (r *rig) open(req host.Request) *host.Call {
	r.Helper()
	c, err := r.Open(r.Context(), req)
	if err != nil {
		r.Fatalf("open %+v: %v", req, err)
	}
	return c
}

// start runs a call in a goroutine; the channel gives its outcome.
func (r *rig) start(ctx context.Context, req host.Request) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := r.do(ctx, req)
		out <- err
	}()
	synctest.Wait()
	return out
}

// seen is an error whose reason was checked. It's no error itself, so that a test
// may leave it at that.
type seen errdefs.Error

func (r *rig) fails(req host.Request, want errdefs.Reason) *seen {
	r.Helper()
	_, err := r.do(r.Context(), req)
	return r.wantReason(err, want)
}

func (r *rig) wantReason(err error, want errdefs.Reason) *seen {
	r.Helper()
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Reason != want {
		r.Fatalf("error %v, want %s", err, want)
	}
	return (*seen)(e)
}

// wantRan checks may_have_run.
func (r *rig) wantRan(e *seen, want bool) {
	r.Helper()
	if e.MayHaveRun != want {
		r.Errorf("%v: may_have_run is %t, want %t", (*errdefs.Error)(e), e.MayHaveRun, want)
	}
}

// settled waits until nothing moves and returns the first pool's status.
func (r *rig) settled() host.PoolStatus {
	synctest.Wait()
	return r.Status().Pools[0]
}

// timed gives how much fake time f took.
func timed(f func()) time.Duration {
	t0 := time.Now()
	f()
	return time.Since(t0)
}

func one(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 1 }
