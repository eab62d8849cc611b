package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestSeatOfATaintedWorkerStaysEmptyForItsTime(t *testing.T) {
	for signal, taints := range map[string]bool{"SIGSEGV": true, "SIGABRT": true, "SIGKILL": true, "SIGTERM": false} {
		change := func(c *host.Config, l *hosttest.Launcher) { one(c, l); c.Pools[0].Barrier.Taint = time.Minute }
		inBubbleNow(t, change, func(r *rig) {
			r.must(host.Request{Tool: "echo"})
			r.launcher.Live()[0].CrashBy(signal)
			time.Sleep(59 * time.Second)
			if ready := r.settled().Ready; (ready == 0) != taints {
				r.Errorf("%d workers 59 s after a %s", ready, signal)
			}
			time.Sleep(2 * time.Second)
			if ready := r.settled().Ready; ready != 1 {
				r.Errorf("%d workers 61 s after a %s", ready, signal)
			}
			want := 0
			if taints {
				want = 1
			}
			r.wantEvents(host.EventWorkerTainted, want)
		})
	}
}

func TestEachTaintEmptiesOneSeatOnce(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) {
		c.Pools[0].Size, c.Pools[0].Barrier.Taint = 3, time.Minute
		c.Pools[0].Barrier.ExitCodes = []int{139}
	}
	inBubble(t, change, func(r *rig) {
		r.settled()
		live := r.launcher.Live()
		live[0].Crash()
		live[1].Crash()
		live[2].CrashBy("SIGKILL")
		time.Sleep(time.Second)
		if ready := r.settled().Ready; ready != 1 {
			r.Errorf("%d workers after two taints, want 1", ready)
		}
		time.Sleep(time.Minute)
		if ready := r.settled().Ready; ready != 3 {
			r.Errorf("%d workers after the taints' time, want 3", ready)
		}
		r.launcher.Live()[0].CrashBy("SIGKILL")
		time.Sleep(time.Second)
		if ready := r.settled().Ready; ready != 3 {
			r.Errorf("a taint was used twice: %d workers", ready)
		}
	})
}

// raising offers a tool that raises a CUDA error, once "others" have run.
func raising(types ...string) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		c.Pools[0].Barrier.ErrorTypes = types
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "cuda"}, Run: func(context.Context, *hosttest.Call) ([]byte, error) {
			e := errdefs.New(errdefs.PythonException, "AcceleratorError: CUDA error: device-side assert triggered")
			e.Exception = &errdefs.Exception{
				Type: "torch.AcceleratorError", Bases: []string{"RuntimeError", "Exception", "BaseException"}, Message: "CUDA error: device-side assert triggered",
			}
			return nil, e
		}})
	}
}

func TestExceptionsTaintByClassBaseOrMessage(t *testing.T) {
	for errorType, taints := range map[string]bool{
		"torch.AcceleratorError":       true,
		"AcceleratorError":             true,
		"RuntimeError":                 true,
		"RuntimeError: CUDA error":     true,
		"RuntimeError: out of memory":  false,
		"Error":                        false,
		"other.AcceleratorError":       false,
		"AcceleratorError: CUDA error": true,
	} {
		inBubbleNow(t, raising(errorType), func(r *rig) {
			c := r.open(host.Request{Tool: "cuda"})
			tainted := r.launcher.Worker(c.Worker())
			_, err := c.Recv(r.Context())
			r.wantReason(err, errdefs.PythonException)
			if synctest.Wait(); tainted.Stopped() != taints {
				r.Errorf("%s: the worker was stopped: %t, want %t", errorType, tainted.Stopped(), taints)
			}
			time.Sleep(time.Second)
			if s := r.settled(); s.Ready != 2 {
				r.Errorf("%d workers", s.Ready)
			}
		})
	}
}

func TestTaintedWorkerGetsNoCallThatWaits(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) { one(c, l); raising("RuntimeError")(c, l) }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo"})
		first := r.open(host.Request{Tool: "work"})
		bad := r.start(r.Context(), host.Request{Tool: "cuda"})
		next := make(chan host.WorkerID, 1)
		go func() {
			c := r.open(host.Request{Tool: "echo"})
			_, _ = c.Recv(r.Context())
			next <- c.Worker()
		}()
		synctest.Wait()
		if _, err := first.Recv(r.Context()); err != nil {
			r.Fatal(err)
		}
		r.wantReason(<-bad, errdefs.PythonException)
		if got := <-next; got == first.Worker() {
			r.Error("the tainted worker was given the call that waited")
		}
		r.wantEvents(host.EventWorkerTainted, 1)
	})
}

func TestTaintWaitsForTheNeighboursOfTheCall(t *testing.T) {
	change := func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		raising("RuntimeError")(c, l)
		l.Slots = 2
		c.Pools[0].Barrier.Taint = 10 * time.Second
	}
	inBubble(t, change, func(r *rig) {
		neighbour := r.start(r.Context(), host.Request{Tool: "work"})
		r.fails(host.Request{Tool: "cuda"}, errdefs.PythonException)
		r.fails(host.Request{Tool: "echo"}, errdefs.NoWorkers)
		if err := <-neighbour; err != nil {
			r.Errorf("the neighbour of a tainting call failed: %v", err)
		}
		time.Sleep(10 * time.Second)
		r.must(host.Request{Tool: "echo"})
	})
}

func TestCallThatNobodyReadsTaintsAsWell(t *testing.T) {
	inBubble(t, raising("RuntimeError"), func(r *rig) {
		c := r.open(host.Request{Tool: "cuda"}) // and never read
		if synctest.Wait(); !r.launcher.Worker(c.Worker()).Stopped() {
			r.Error("the worker is still in use")
		}
	})
}
