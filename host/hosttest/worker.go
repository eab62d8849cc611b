package hosttest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Worker is one fake worker. It's a host.Killer, a host.Leaver, a host.Pinner and a
// host.Weigher.
type Worker struct {
	Spec host.Spec

	launcher *Launcher
	serve    host.ToolServer
	pid      int
	done     chan struct{}
	calls    sync.WaitGroup // nobody waits for it: the worker's death ends them all

	mu      sync.Mutex // guards all below
	err     error
	running map[*running]struct{} // those that wait included
	active  int                   // those that have a slot
	waiting []*running            // for a slot, in order of arrival
	most    int
	stopped bool
	pins    int
	left    bool // to another host; as far as this one is concerned it's dead
}

func newWorker(l *Launcher, spec host.Spec, serve host.ToolServer, pid int) *Worker {
	return &Worker{Spec: spec, launcher: l, serve: serve, pid: pid, done: make(chan struct{}), running: map[*running]struct{}{}}
}

// Description implements host.Worker.
func (w *Worker) Description() host.Description {
	var tools []host.Tool
	for _, t := range w.launcher.Tools {
		tools = append(tools, t.Tool)
	}
	slices.SortFunc(tools, func(a, b host.Tool) int { return strings.Compare(a.Name, b.Name) })
	return host.Description{
		Adapter: "fake", Tools: tools, SDK: "0", Runtime: "go", Slots: w.slots(), Capabilities: w.launcher.capabilities(),
		Process: host.Process{PID: w.pid},
	}
}

// Start implements host.Worker.
//
//nolint:contextcheck // its ctx bounds the handing over alone, and the call outlives it
func (w *Worker) Start(_ context.Context, inv host.Invocation) (host.Running, error) {
	if w.launcher.OnStart != nil {
		if err := w.launcher.OnStart(w, inv); err != nil {
			return nil, err
		}
	}
	if inv.Session != "" && !inv.Local && !w.launcher.holds() {
		return nil, errdefs.New(errdefs.Fenced, "the lease has ended")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.alive() {
		return nil, errdefs.New(errdefs.WorkerCrashed, "worker %s is gone", w.Spec.Worker)
	}
	r, ctx := newRunning(w)
	w.running[r] = struct{}{}
	if w.active < w.slots() {
		w.active++
		close(r.turn)
	} else {
		w.waiting = append(w.waiting, r)
	}
	w.most = max(w.most, len(w.running))
	w.calls.Go(func() { r.work(ctx, inv) })
	return r, nil
}

// Done implements host.Worker.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Err implements host.Worker.
func (w *Worker) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Stop implements host.Worker. The fake obeys at once, unless OnStop says otherwise.
func (w *Worker) Stop(context.Context) error {
	if w.launcher.OnStop != nil {
		if err := w.launcher.OnStop(w); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.die(nil)
	return nil
}

// Kill implements host.Killer.
func (w *Worker) Kill(cause error) { w.die(cause) }

// Pin implements host.Pinner.
func (w *Worker) Pin() bool {
	if !w.launcher.holds() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pins++
	return true
}

// Unpin implements host.Pinner.
func (w *Worker) Unpin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pins--
}

// Pins says how often the worker is pinned.
func (w *Worker) Pins() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pins
}

// RSS implements host.Weigher.
func (w *Worker) RSS() uint64 {
	if w.launcher.Weigh == nil {
		return 0
	}
	return w.launcher.Weigh(w)
}

// prober is a worker that can be probed.
type prober struct{ *Worker }

// Probe implements host.Prober.
func (p prober) Probe(ctx context.Context) (time.Duration, error) {
	return p.launcher.OnProbe(ctx, p.Worker)
}

// Crash ends the worker as a fatal signal would.
func (w *Worker) Crash() { w.CrashBy("SIGSEGV") }

// CrashBy ends the worker as a signal of this name would.
func (w *Worker) CrashBy(signal string) {
	w.die(&errdefs.Error{
		Reason: errdefs.WorkerCrashed, Message: "the process ended by signal " + signal, MayHaveRun: true,
		Exit: &errdefs.Exit{Code: -1, Signal: signal, Stderr: []string{"Segmentation fault"}},
	})
}

func (w *Worker) die(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.alive() {
		return
	}
	w.err = err
	close(w.done)
	for r := range w.running {
		r.cancel(err)
	}
}

func (w *Worker) alive() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// Stopped reports whether the worker was asked to stop.
func (w *Worker) Stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

// Most is the largest number of calls that the worker had at once. Those beyond its
// slots waited in it, as they do in a real one.
func (w *Worker) Most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// crash is what a call is told whose worker is gone.
func (w *Worker) crash() error {
	e := *errdefs.New(errdefs.WorkerCrashed, "the worker was stopped")
	if err := w.Err(); err != nil {
		e = *errdefs.Of(err)
	}
	e.MayHaveRun = true
	return &e
}

// leave ends a call, and reports whether the worker still lived. The slot goes to
// the first that waits.
func (w *Worker) leave(r *running) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, r)
	if i := slices.Index(w.waiting, r); i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	} else if len(w.waiting) > 0 {
		close(w.waiting[0].turn)
		w.waiting = w.waiting[1:]
	} else {
		w.active--
	}
	return w.alive()
}

func (w *Worker) slots() int { return cmp.Or(w.launcher.Slots, 1) }
