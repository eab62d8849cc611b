package host_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func eight(c *host.Config, l *hosttest.Launcher) {
	c.Pools[0].Size = 8
	c.LaunchLimit = 8
	l.OnLaunch = launchTakes(time.Second)
}

func TestReloadReplacesEveryWorkerAndFailsNoCall(t *testing.T) {
	inBubble(t, eight, func(r *rig) {
		r.ready()
		before := r.launcher.Workers()
		stop := r.storm(12, "work")
		var steps []host.ReloadProgress
		over := make(chan error, 1)
		go func() {
			over <- r.Reload(r.Context(), "ml", host.ReloadOptions{Progress: func(p host.ReloadProgress) { steps = append(steps, p) }})
		}()
		least := r.leastReady(30 * time.Second)
		if err := <-over; err != nil {
			r.Fatal(err)
		}
		calls, failed := stop()
		if len(failed) > 0 || calls < 100 {
			r.Errorf("%d of %d calls failed: %v", len(failed), calls, failed)
		}
		if least < 8 {
			r.Errorf("%d workers were ready at times, want 8 always", least)
		}
		for _, w := range before {
			if !w.Stopped() || w.Err() != nil {
				r.Errorf("old worker %s: stopped %t, %v", w.Spec.Worker, w.Stopped(), w.Err())
			}
		}
		if n := r.launcher.Launches(); n != 16 {
			r.Errorf("%d launches, want 16", n)
		}
		if last := steps[len(steps)-1]; len(steps) != 9 || last.Replaced != 8 || last.Total != 8 || last.Worker == "" {
			r.Errorf("progress %+v", steps)
		}
		if !r.hasEvent(host.EventPoolReloaded) {
			r.Error("no event tells of it")
		}
	})
}

func TestReloadReplacesAQuarterAtOnce(t *testing.T) {
	inBubble(t, eight, func(r *rig) {
		r.ready()
		took := timed(func() {
			if err := r.Reload(r.Context(), "", host.ReloadOptions{}); err != nil {
				r.Fatal(err)
			}
		})
		if took != 4*time.Second {
			r.Errorf("8 workers took %s, want four starts", took)
		}
	})
}

func TestReloadThatCannotStartKeepsTheOldWorkers(t *testing.T) {
	var broken atomic.Bool
	change := func(c *host.Config, l *hosttest.Launcher) {
		eight(c, l)
		l.OnLaunch = func(context.Context, host.Spec, int) error {
			if broken.Load() {
				return errdefs.New(errdefs.StartFailed, "SyntaxError: invalid syntax")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		before := r.launcher.Live()
		broken.Store(true)
		r.wantReason(r.Reload(r.Context(), "ml", host.ReloadOptions{}), errdefs.StartFailed)
		time.Sleep(time.Minute)
		if after := r.launcher.Live(); !slices.Equal(before, after) {
			r.Errorf("%d of the old workers are left", len(after))
		}
		if n := r.launcher.Launches(); n > 8+2 {
			r.Errorf("%d launches: it went on trying", n)
		}
		r.must(host.Request{Tool: "echo"})
		if s := r.settled(); !r.hasEvent(host.EventReloadFailed) || s.LastStartError == "" || s.Size != 8 {
			r.Errorf("status %+v", s)
		}
		broken.Store(false)
		if err := r.Reload(r.Context(), "ml", host.ReloadOptions{}); err != nil {
			r.Error(err)
		}
	})
}

func TestReloadEndsWithItsContext(t *testing.T) {
	inBubble(t, eight, func(r *rig) {
		r.ready()
		ctx, cancel := context.WithTimeout(r.Context(), 1500*time.Millisecond)
		defer cancel()
		r.wantReason(r.Reload(ctx, "ml", host.ReloadOptions{}), errdefs.Deadline)
		time.Sleep(time.Minute)
		if n := r.launcher.Launches(); n != 8+4 {
			r.Errorf("%d launches, want two batches of two besides the first eight", n)
		}
		if n := r.readyNow(); n != 8 {
			r.Errorf("%d ready, want 8", n)
		}
	})
}

func TestSessionMovesWhenItsHomeIsReloaded(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "echo", Session: "s"})
		if err := r.Reload(r.Context(), "ml", host.ReloadOptions{}); err != nil {
			r.Fatal(err)
		}
		if c := r.inSession("s"); !c.Home() || c.Worker() != r.launcher.Live()[0].Spec.Worker {
			r.Errorf("the session ran on %s, home %t", c.Worker(), c.Home())
		}
	})
}

func TestCallsThatWaitForADrainingWorkerAloneAreStillServed(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		c.Pools[0].Affinity = host.AffinityStrictQueue
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		var all []<-chan error
		for range 3 { // in turn, each waiting for the home alone
			all = append(all, r.start(r.Context(), host.Request{Tool: "work", Session: "s", Concurrent: true}))
		}
		if err := r.Reload(r.Context(), "ml", host.ReloadOptions{}); err != nil {
			r.Error(err)
		}
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		r.fails(host.Request{Tool: "echo", Session: "s"}, errdefs.SessionWorkerUnavailable)
	})
}

func TestWorkerThatDiesWhileItDrainsLosesNothingButItsCall(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.ready()
		old := r.launcher.Workers()[0]
		running := r.start(r.Context(), host.Request{Tool: "busy"})
		over := make(chan error, 1)
		go func() { over <- r.Reload(r.Context(), "ml", host.ReloadOptions{}) }()
		synctest.Wait()
		states := map[host.WorkerState]int{}
		for _, w := range r.Workers("") {
			states[w.State]++
		}
		if states[host.WorkerDraining] != 1 || states[host.WorkerReady] != 1 {
			r.Fatalf("workers are %v", states)
		}
		old.Crash()
		r.wantReason(<-running, errdefs.WorkerCrashed)
		if err := <-over; err != nil {
			r.Errorf("reload: %v", err)
		}
		r.must(host.Request{Tool: "echo"})
		if s := r.settled(); s.Ready != 1 || s.Busy != 0 || len(r.Workers("")) != 1 {
			r.Errorf("status %+v", s)
		}
	})
}

func TestDrainedWorkerIsReplacedFirst(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { l.OnLaunch = launchTakes(time.Second) }
	inBubble(t, change, func(r *rig) {
		r.ready()
		running := r.start(r.Context(), host.Request{Tool: "busy"})
		id := r.Workers("")[0].ID
		if r.Workers("")[0].Busy == 0 {
			id = r.Workers("")[1].ID
		}
		over := make(chan error, 1)
		go func() { over <- r.DrainWorker(r.Context(), id) }()
		if least := r.leastReady(3 * time.Second); least != 2 {
			r.Errorf("%d ready at times, want 2", least)
		}
		r.wantReason(r.DrainWorker(r.Context(), id), errdefs.Conflict)
		if err := <-running; err != nil {
			r.Error(err)
		}
		if err := <-over; err != nil {
			r.Error(err)
		}
		r.wantReason(r.DrainWorker(r.Context(), id), errdefs.WorkerNotFound)
	})
}

func TestKilledWorkerIsReplaced(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		r.ready()
		running := r.start(r.Context(), host.Request{Tool: "busy"})
		id := r.Workers("")[0].ID
		if err := r.KillWorker(r.Context(), id); err != nil {
			r.Fatal(err)
		}
		r.wantReason(<-running, errdefs.WorkerCrashed)
		r.must(host.Request{Tool: "echo"})
		r.wantReason(r.KillWorker(r.Context(), id), errdefs.WorkerNotFound)
	})
}

func TestPoolIsResizedWhileCallsRunAndWait(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].Size = 4; c.Pools[0].QueueTimeout = time.Minute }
	inBubble(t, change, func(r *rig) {
		r.ready()
		var all []<-chan error
		for range 12 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "busy"}))
		}
		p := r.config()
		p.QueueTimeout = time.Minute
		for _, n := range []int{1, 6, 3} {
			p.Size = n
			changes, err := r.Reconfigure(r.Context(), []host.PoolConfig{p})
			if err != nil || len(changes) != 1 || changes[0].Reload || !slices.Equal(changes[0].Changed, []string{"Size"}) {
				r.Fatalf("to %d: %+v, %v", n, changes, err)
			}
			if s := r.settled(); s.Size != n || s.Ready != n {
				r.Errorf("%d of %d ready, want %d", s.Ready, s.Size, n)
			}
		}
		for _, done := range all {
			if err := <-done; err != nil {
				r.Error(err)
			}
		}
		if s := r.settled(); len(r.launcher.Live()) != 3 || s.Busy != 0 || s.Queued != 0 {
			r.Errorf("%d live, status %+v", len(r.launcher.Live()), s)
		}
	})
}

func TestNewCommandIsRolledOutAndOneThatFailsIsPutBack(t *testing.T) {
	change := func(_ *host.Config, l *hosttest.Launcher) {
		l.OnLaunch = func(_ context.Context, s host.Spec, _ int) error {
			if s.Command.Path == "bad" {
				return errdefs.New(errdefs.StartFailed, "no such file")
			}
			return nil
		}
	}
	inBubble(t, change, func(r *rig) {
		r.ready()
		p := r.config()
		p.Command.Path, p.QueueSize = "good", 7
		changes, err := r.Reconfigure(r.Context(), []host.PoolConfig{p})
		if err != nil || len(changes) != 1 || !changes[0].Reload || changes[0].Err != nil {
			r.Fatalf("%+v, %v", changes, err)
		}
		p.Command.Path = "bad"
		changes, err = r.Reconfigure(r.Context(), []host.PoolConfig{p})
		if err != nil || len(changes) != 1 {
			r.Fatalf("%+v, %v", changes, err)
		}
		r.wantReason(changes[0].Err, errdefs.StartFailed)
		r.launcher.Live()[0].Crash()
		time.Sleep(time.Second)
		for _, w := range r.launcher.Live() {
			if w.Spec.Command.Path != "good" {
				r.Errorf("worker %s runs %s", w.Spec.Worker, w.Spec.Command.Path)
			}
		}
		if n := r.readyNow(); n != 2 {
			r.Errorf("%d ready, want 2", n)
		}
	})
}

func TestInvalidConfigurationChangesNothing(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.ready()
		good, bad := r.config(), r.config()
		good.Size, bad.Name, bad.Size = 5, "other", -1
		_, err := r.Reconfigure(r.Context(), []host.PoolConfig{good, bad})
		r.wantReason(err, errdefs.InvalidConfig)
		if n := r.settled().Size; n != 2 {
			r.Errorf("size %d, want 2", n)
		}
		other := r.config()
		other.Name = "other"
		changes, err := r.Reconfigure(r.Context(), []host.PoolConfig{other})
		if err != nil || len(changes) != 2 || len(changes[0].Refused) != 1 || len(changes[1].Refused) != 1 {
			r.Errorf("%+v, %v", changes, err)
		}
	})
}
