package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// deaf is a pool of one worker whose first one leaves probes unanswered while said so.
type deaf struct {
	silent atomic.Bool
	paused atomic.Bool
	failed error // given at once instead of silence
	probes atomic.Int64
}

func (d *deaf) pool(beat host.Heartbeat) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		c.Pools[0].Heartbeat = beat
		c.CallTimeout = time.Hour
		l.OnProbe = func(ctx context.Context, w *hosttest.Worker) (time.Duration, error) {
			d.probes.Add(1)
			switch {
			case d.paused.Load():
				return 0, host.ErrPaused
			case !d.silent.Load() || w != l.Workers()[0]:
				return 0, nil
			case d.failed != nil:
				return 0, d.failed
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}
	}
}

func TestIdleWorkerThatLeavesProbesUnansweredIsReplaced(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		time.Sleep(time.Minute)
		d.silent.Store(true)
		time.Sleep(31 * time.Second) // three times 10 s, and at least two intervals
		r.wantEvents(host.EventWorkerHung, 0)
		time.Sleep(10 * time.Second)
		r.wantEvents(host.EventWorkerHung, 1)
		r.wantReason(r.launcher.Workers()[0].Err(), errdefs.WorkerHung)
		r.must(host.Request{Tool: "echo"})
		time.Sleep(time.Hour)
		r.wantEvents(host.EventWorkerHung, 1)
	})
}

func TestOneAnswerMakesUpForMissedProbes(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{Interval: time.Second, Timeout: time.Second}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		for range 10 {
			d.silent.Store(true)
			time.Sleep(4 * time.Second) // two probes are missed
			d.silent.Store(false)
			time.Sleep(4 * time.Second)
		}
		r.wantEvents(host.EventWorkerHung, 0)
	})
}

func TestFailedProbeIsNoDeath(t *testing.T) {
	d := deaf{failed: errors.New("the probe went wrong")}
	inBubble(t, d.pool(host.Heartbeat{Interval: time.Second, MaxMissed: 5}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		d.silent.Store(true)
		time.Sleep(4 * time.Second)
		r.wantEvents(host.EventWorkerHung, 0)
		time.Sleep(2 * time.Second)
		r.wantEvents(host.EventWorkerHung, 1)
	})
}

func TestBusyWorkerMayLeaveProbesUnanswered(t *testing.T) {
	var d deaf
	change := func(c *host.Config, l *hosttest.Launcher) {
		d.pool(host.Heartbeat{})(c, l)
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "gil"}, Run: func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			d.silent.Store(true)
			defer d.silent.Store(false)
			return takes(60*time.Second)(ctx, c)
		}})
	}
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "gil"})
		time.Sleep(time.Minute)
		r.must(host.Request{Tool: "gil"})
		r.wantEvents(host.EventWorkerHung, 0)
	})
}

func TestBusyWorkerThatIsSilentForTooLongHangs(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{BusyTimeout: 15 * time.Second}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		d.silent.Store(true)
		took := timed(func() { r.wantRan(r.fails(host.Request{Tool: "stuck"}, errdefs.WorkerHung), true) })
		if took < 15*time.Second || took > 17*time.Second {
			r.Errorf("found after %s, want 15 s and at most an interval", took)
		}
		r.wantEvents(host.EventWorkerHung, 1)
	})
}

func TestStoppedProcessOwesNoAnswer(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{Interval: time.Second, Timeout: time.Second, BusyTimeout: time.Second}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		d.silent.Store(true)
		time.Sleep(4 * time.Second)
		d.paused.Store(true)
		time.Sleep(time.Hour)
		d.paused.Store(false)
		time.Sleep(4 * time.Second) // what was missed before the pause isn't counted
		r.wantEvents(host.EventWorkerHung, 0)
		d.silent.Store(false)
	})
}

func TestNobodyProbesAWorkerThatIsGone(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		d.silent.Store(true)
		time.Sleep(25 * time.Second) // two probes are missed, the third is under way
		r.launcher.Live()[0].Crash()
		time.Sleep(time.Hour)
		r.wantEvents(host.EventWorkerHung, 0)
		r.wantEvents(host.EventWorkerKilled, 0)
		r.wantEvents(host.EventWorkerDied, 1)
	})
}

func TestCallThatComesAtTheLastMomentSavesTheWorker(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{Interval: time.Second, Timeout: time.Second}), func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		d.silent.Store(true)
		for range 60 {
			time.Sleep(3 * time.Second)
			r.must(host.Request{Tool: "echo"}) // it has answered
		}
		r.wantEvents(host.EventWorkerHung, 0)
	})
}

func TestHeartbeatCanBeSwitchedOff(t *testing.T) {
	var d deaf
	inBubble(t, d.pool(host.Heartbeat{Interval: -1}), func(r *rig) {
		d.silent.Store(true)
		r.must(host.Request{Tool: "echo"})
		time.Sleep(time.Hour)
		if n := d.probes.Load(); n > 0 {
			r.Errorf("%d probes", n)
		}
	})
}

func TestHangsOpenTheBreaker(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		c.Pools[0].Breaker.Threshold = 2
		c.Pools[0].Heartbeat = host.Heartbeat{Interval: time.Second, Timeout: time.Second}
		l.OnProbe = func(ctx context.Context, _ *hosttest.Worker) (time.Duration, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
	}
	inBubble(t, change, func(r *rig) {
		r.settled()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		r.fails(host.Request{Tool: "echo"}, errdefs.CircuitOpen)
	})
}
