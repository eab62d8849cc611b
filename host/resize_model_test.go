package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestPoolUnderRandomChanges resizes, reloads, recycles, drains and kills in any
// order while calls run, and checks that each call is answered once and that only
// a worker's death fails one; at the end the pool is what it was told to be.
func TestPoolUnderRandomChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { newChanges(t, rt).run() })
	})
}

// changes is a pool that is changed all the time.
type changes struct {
	*rapid.T

	rig     *rig
	size    int
	scaled  bool // size is what it may grow to; with nothing to do it has none
	recycle int
	deaths  int
	answers []<-chan error
	orders  []<-chan error
}

func newChanges(t *testing.T, rt *rapid.T) *changes {
	t.Helper()
	c := &changes{T: rt, size: 3, scaled: rapid.Bool().Draw(rt, "scaled"), recycle: rapid.SampledFrom([]int{0, 2}).Draw(rt, "recycle")}
	c.rig = newRig(t, func(cfg *host.Config, l *hosttest.Launcher) {
		cfg.Pools[0] = c.config()
		cfg.LaunchLimit = rapid.IntRange(1, 4).Draw(rt, "limit")
		l.OnLaunch = launchTakes(700 * time.Millisecond)
		l.Slots = rapid.IntRange(1, 2).Draw(rt, "slots")
	})
	return c
}

func (c *changes) config() host.PoolConfig {
	p := host.PoolConfig{
		Name: "ml", Command: host.Command{Path: "fake"}, Size: c.size,
		QueueTimeout: time.Hour, Recycle: host.Recycle{MaxCalls: c.recycle}, Breaker: host.Breaker{Threshold: -1},
	}
	if c.scaled {
		p.Scale = host.Scale{Max: c.size, IdleAfter: 2 * time.Second}
	}
	return p
}

func (c *changes) run() {
	defer func() { _ = c.rig.stop() }()
	c.rig.ready()
	c.Repeat(map[string]func(*rapid.T){
		"call":   c.call,
		"wait":   func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond) },
		"resize": c.resize,
		"reload": func(*rapid.T) {
			c.order(func(ctx context.Context) error { return c.rig.Reload(ctx, "ml", host.ReloadOptions{}) })
		},
		"drain": c.drain,
		"crash": c.crash,
		"":      c.check,
	})
	c.finish()
}

func (c *changes) call(t *rapid.T) {
	tool := rapid.SampledFrom([]string{"echo", "work", "busy"}).Draw(t, "tool")
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	done := c.rig.start(ctx, host.Request{Tool: tool})
	out := make(chan error, 1)
	go func() { defer cancel(); out <- <-done }()
	c.answers = append(c.answers, out)
}

func (c *changes) order(f func(context.Context) error) {
	out := make(chan error, 1)
	go func() { out <- f(context.Background()) }()
	c.orders = append(c.orders, out)
}

func (c *changes) resize(t *rapid.T) {
	c.size = rapid.IntRange(1, 6).Draw(t, "size")
	if _, err := c.rig.Reconfigure(context.Background(), []host.PoolConfig{c.config()}); err != nil {
		t.Fatal(err)
	}
}

func (c *changes) drain(t *rapid.T) {
	if all := c.rig.Workers(""); len(all) > 0 {
		id := rapid.SampledFrom(all).Draw(t, "worker").ID
		c.order(func(ctx context.Context) error { return c.rig.DrainWorker(ctx, id) })
	}
}

func (c *changes) crash(t *rapid.T) {
	if live := c.rig.launcher.Live(); len(live) > 0 {
		c.deaths++
		live[rapid.IntRange(0, len(live)-1).Draw(t, "worker")].Crash()
	}
}

// check holds after each step: no more calls run than there are slots, nor more
// workers live than the old and the new together.
func (c *changes) check(t *rapid.T) {
	s := c.rig.settled()
	if s.Size != c.size && (!c.scaled || s.Size > c.size) {
		t.Fatalf("size %d, want %d", s.Size, c.size)
	}
	for _, w := range c.rig.launcher.Workers() {
		if w.Most() > c.rig.launcher.Slots {
			t.Fatalf("worker %s ran %d calls at once", w.Spec.Worker, w.Most())
		}
	}
}

func (c *changes) finish() {
	for _, done := range c.answers {
		err := <-done
		if err != nil && (c.deaths == 0 || errdefs.ReasonOf(err) != errdefs.WorkerCrashed) {
			c.Errorf("after %d deaths, a call failed: %v", c.deaths, err)
		}
	}
	for _, done := range c.orders {
		err := <-done
		if err != nil && c.deaths == 0 && errdefs.ReasonOf(err) != errdefs.Conflict && errdefs.ReasonOf(err) != errdefs.WorkerNotFound {
			c.Errorf("a change failed: %v", err)
		}
	}
	time.Sleep(time.Minute)
	want := c.size
	if c.scaled {
		want = 0
	}
	s := c.rig.settled()
	if live := len(c.rig.launcher.Live()); s.Ready != want || live != want || s.Busy != 0 || s.Queued != 0 {
		c.Errorf("%d live, %d ready, want %d; %d busy, %d queued", live, s.Ready, want, s.Busy, s.Queued)
	}
}
