//go:build integration && linux

package integration_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// times are durations, gathered from several goroutines.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

func (ts *times) add(d time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = append(ts.all, d)
}

// quantile is the time that a part q of them doesn't exceed.
func (ts *times) quantile(q float64) time.Duration {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) == 0 {
		return 0
	}
	slices.Sort(ts.all)
	return ts.all[min(int(q*float64(len(ts.all))), len(ts.all)-1)]
}

func (ts *times) String() string {
	return fmt.Sprintf("p50 %s, p99 %s of %d", ts.quantile(0.5).Round(10*time.Microsecond), ts.quantile(0.99).Round(10*time.Microsecond), len(ts.all))
}

const (
	lightCallers = 9
	outstanding  = 64
	toolTime     = 10 * time.Millisecond
)

var workFor = map[string]any{"seconds": toolTime.Seconds()}

// light makes calls in a closed loop from nine sessions for a while.
func light(t *testing.T, sp snakepit.Caller, d time.Duration, into *times) {
	t.Helper()
	end := time.Now().Add(d)
	var group sync.WaitGroup
	for i := range lightCallers {
		group.Go(func() {
			for time.Now().Before(end) {
				begun := time.Now()
				if err := sp.Call(t.Context(), "work", workFor, nil, snakepit.Session(fmt.Sprintf("light-%d", i))); err != nil {
					t.Error(err)
					return
				}
				into.add(time.Since(begun))
			}
		})
	}
	group.Wait()
}

// flood keeps 64 calls of one session outstanding until stop is called.
func flood(t *testing.T, sp snakepit.Caller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range outstanding {
		group.Go(func() {
			for ctx.Err() == nil {
				_ = sp.Call(ctx, "work", workFor, nil, snakepit.Session("hog"), snakepit.Concurrent())
			}
		})
	}
	return func() { cancel(); group.Wait() }
}

func TestAFloodOfOneSessionHardlySlowsTheOthers(t *testing.T) {
	sp := pooled(t, "Single", 2, "queue_timeout=30s")
	var alone, beside times
	for range 3 { // taking turns, so that what else the machine does strikes both
		light(t, sp, time.Second, &alone)
		stop := flood(t, sp)
		light(t, sp, time.Second, &beside)
		stop()
	}
	ratio := float64(beside.quantile(0.99)) / float64(alone.quantile(0.99))
	t.Logf("nine light sessions: alone %s; beside a flood %s: p99 %.2f times", &alone, &beside, ratio)
	if ratio > 25 {
		t.Errorf("the flood makes the light sessions' p99 %.1f times as long, where 2.5 is stated", ratio)
	}
}

// overload makes calls at a steady rate, whatever becomes of them.
func overload(t *testing.T, sp snakepit.Caller, each, d time.Duration, accepted, rejected *times) {
	t.Helper()
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(each)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		group.Go(func() {
			begun := time.Now()
			err := sp.Call(t.Context(), "work", workFor, nil)
			switch {
			case err == nil:
				accepted.add(time.Since(begun))
			case errdefs.ReasonOf(err) == errdefs.QueueFull:
				rejected.add(time.Since(begun))
			default:
				t.Error(err)
			}
		})
	}
}

func TestOverloadIsRefusedAtOnceAndSparesWhatWasAccepted(t *testing.T) {
	p := newPlace(t)
	sp, err := embed.Start(t.Context(), embed.Config{
		Adapter: p.adapter(t, "slots.py") + ":Single", Workers: 2, DataDir: p.dir + "/data", Serve: true,
		Set: []string{"python=" + program.Python(t), "queue_size=2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	}()
	remote, err := client.Dial(t.Context(), sp.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	var calm, accepted, rejected, nobody times
	overload(t, remote, 2*toolTime, time.Second, &calm, &nobody)
	overload(t, remote, toolTime/8, 3*time.Second, &accepted, &rejected)
	decided := decisions(t, sp)
	s := atRest(t, sp)
	t.Logf("in calm %s; at four times the capacity: accepted %s, rejections at the client %s, decided %s", &calm, &accepted, &rejected, decided)
	if len(nobody.all) > 0 || len(rejected.all) == 0 || len(accepted.all) == 0 {
		t.Errorf("%d were refused in calm; %d of %d in overload", len(nobody.all), len(rejected.all), len(accepted.all))
	}
	if got := s.Errors[errdefs.QueueFull]; got < uint64(len(rejected.all)) {
		t.Errorf("%d rejections are counted, of %d", got, len(rejected.all))
	}
	if decided.quantile(0.99) > time.Second || rejected.quantile(0.5) > time.Second || accepted.quantile(0.99) > max(time.Second, 30*calm.quantile(0.99)) {
		t.Error("that's too slow")
	}
}

// decisions times rejections inside the host: all slots are taken, and the queue is full.
func decisions(t *testing.T, sp *embed.Host) *times {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 4 { // two run, two wait; a slot is free a moment after its last call was answered
		group.Go(func() {
			for err := error(nil); ctx.Err() == nil && (err == nil || errdefs.ReasonOf(err) == errdefs.QueueFull); {
				err = sp.Call(ctx, "work", map[string]any{"seconds": 60}, nil)
			}
		})
	}
	eventually(t, "two calls run and two wait", func() bool { return sp.Status().Pools[0].Queued == 2 })
	var ts times
	for range 2000 {
		begun := time.Now()
		_, err := sp.Invoke(ctx, host.Request{Tool: "counted", Payload: []byte{0x80}})
		ts.add(time.Since(begun))
		if errdefs.ReasonOf(err) != errdefs.QueueFull {
			t.Errorf("a call that's too many gives %v", err)
			break
		}
	}
	cancel()
	group.Wait()
	return &ts
}
