package plugin

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// defaultStopTimeout is how long a worker has to end by itself.
const defaultStopTimeout = 2 * time.Second

// termTimeout is how long a worker has after SIGTERM.
const termTimeout = 500 * time.Millisecond

// worker is one live worker. Its run goroutine owns its end, whoever asked for it.
type worker struct {
	id     host.WorkerID
	desc   host.Description
	logger hclog.Logger
	dir    string
	proc   *process
	plugin *goplugin.Client
	lane   *lane.Lane
	stopIn time.Duration
	gpus   []string // its own; nil: none

	conn   *grpc.ClientConn // go-plugin's
	mark   *shim.Mark       // set while it runs a session's call; nil: there's no shim to look at it
	unmark func()           // made once: a call needs no closure of its own

	stopping chan struct{} // closed by the first Stop
	leaving  chan struct{} // closed by the first Leave
	done     chan struct{}

	mu    sync.Mutex // guards the fields below
	asked bool       // Stop was called
	left  bool       // Leave was called
	err   error      // valid after done
}

var (
	_ host.Worker  = (*worker)(nil)
	_ host.Killer  = (*worker)(nil)
	_ host.Weigher = (*worker)(nil)
	_ host.Leaver  = (*worker)(nil)
	_ host.Prober  = (*worker)(nil)
	_ host.Pinner  = (*worker)(nil)

	_ host.DeviceHolder = (*worker)(nil)
)

// worker opens the lane and hands the process over to the worker's own goroutine.
func (s *startup) worker(ctx context.Context, desc host.Description, conn *connection, serve host.ToolServer) (host.Worker, error) {
	w := &worker{
		id: s.spec.Worker, desc: desc, logger: s.logger, dir: s.dir, proc: s.proc, plugin: s.plugin,
		stopIn: s.spec.Settings.StopTimeout, gpus: s.l.gpus.of(s.spec.Worker), conn: conn.conn, stopping: make(chan struct{}), leaving: make(chan struct{}), done: make(chan struct{}),
	}
	if w.stopIn <= 0 {
		w.stopIn = defaultStopTimeout
	}
	if m, ok := s.proc.mark(); ok {
		w.mark, w.unmark = &m, m.Leave
	}
	l, err := conn.open(ctx, lane.Config{
		Agent:  "snakepit",
		Limits: lane.Limits{MaxPayload: int(conn.maxPayload)},
		Serve:  w.serve(serve),
		Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	w.lane = l
	s.l.wg.Go(w.run)
	return w, nil
}

// Description implements host.Worker.
func (w *worker) Description() host.Description { return w.desc }

// Done implements host.Worker.
func (w *worker) Done() <-chan struct{} { return w.done }

// Err implements host.Worker.
func (w *worker) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Start implements host.Worker.
func (w *worker) Start(ctx context.Context, inv host.Invocation) (host.Running, error) {
	req := requestOf(inv, time.Now())
	if inv.Session != "" && !inv.Local && w.mark != nil {
		if !w.mark.Enter() {
			return nil, fenced(w.id)
		}
		req.Over = w.unmark
	}
	call, err := w.lane.Open(ctx, req)
	if err != nil {
		if req.Over != nil {
			req.Over()
		}
		return nil, w.explain(ctx, err)
	}
	return &running{w: w, call: call}, nil
}

// Pin implements host.Pinner.
func (w *worker) Pin() bool { return w.mark == nil || w.mark.Enter() }

// Unpin implements host.Pinner.
func (w *worker) Unpin() {
	if w.mark != nil {
		w.mark.Leave()
	}
}

func fenced(id host.WorkerID) error {
	e := errdefs.New(errdefs.Fenced, "the host's lease has ended: it may not run what is bound to a session")
	e.Hint = "call again: another host takes the session over, or this one gets its lease back"
	return e.At(errdefs.Where{Worker: string(id)})
}

// Stop implements host.Worker.
func (w *worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	first := !w.asked
	w.asked = true
	w.mu.Unlock()
	if first {
		close(w.stopping)
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return errdefs.Wrap(errdefs.Deadline, context.Cause(ctx), "worker %s is still being stopped", w.id)
	}
}

// Leave implements host.Leaver.
func (w *worker) Leave() {
	w.mu.Lock()
	first := !w.left
	w.left = true
	w.mu.Unlock()
	if first {
		close(w.leaving)
	}
	<-w.done
}

// Kill implements host.Killer.
func (w *worker) Kill(cause error) { w.proc.kill(cause) }

// Probe implements host.Prober. A process that's stopped or frozen is somebody else's to
// end: by probe_timeout, or by the shim.
func (w *worker) Probe(ctx context.Context) (time.Duration, error) {
	before, still := w.proc.stillness()
	if still {
		return 0, host.ErrPaused
	}
	busy, err := w.lane.Ping(ctx)
	if err == nil {
		return busy, nil
	}
	if after, _ := w.proc.stillness(); after != before {
		return 0, host.ErrPaused
	}
	return 0, err
}

// RSS implements host.Weigher.
func (w *worker) RSS() uint64 {
	if isClosed(w.proc.exited) {
		return 0
	}
	return proc.ResidentBytes(w.desc.Process.PID)
}

// Devices implements host.DeviceHolder.
func (w *worker) Devices() []string { return w.gpus }

// run carries the worker from its first call to its reaped process: it ends when
// the process ends, and makes the process end when the lane does, or on Stop.
func (w *worker) run() {
	ctx, endLane := context.WithCancelCause(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { w.runLane(ctx) })
	select {
	case <-w.proc.exited:
	case <-w.stopping:
		w.end(&parts)
	case <-w.leaving:
		w.leave(endLane, &parts)
		return
	case <-w.lane.Done():
		w.afterLane(&parts)
	}
	<-w.proc.exited
	w.finish()
	close(w.done) // callers need not wait for the rest
	endLane(w.Err())
	parts.Go(w.plugin.Kill) // the process is gone: this closes what go-plugin holds
	parts.Wait()
	_ = os.RemoveAll(w.dir) // sockets of a dead process
}

// leave lets go of a worker that goes on: the lane and go-plugin's connection end,
// and go-plugin takes the process for ended. Its folder stays.
func (w *worker) leave(endLane context.CancelCauseFunc, parts *sync.WaitGroup) {
	w.proc.leave()
	endLane(errLeft)
	parts.Wait()
	_ = w.conn.Close() // nothing is under way on it
	close(w.done)
}

var errLeft = errors.New("the host has left the worker to another")

func (w *worker) runLane(ctx context.Context) {
	if err := w.lane.Run(ctx); err != nil && ctx.Err() == nil {
		w.logger.Debug("the lane has ended", "err", err)
	}
}

// afterLane deals with a process that lives on without a lane: usually one that
// is just about to be reaped, else one that broke the protocol.
func (w *worker) afterLane(parts *sync.WaitGroup) {
	select {
	case <-w.proc.exited:
	case <-w.stopping:
		w.end(parts)
	case <-time.After(termTimeout):
		w.proc.kill(w.lane.Err())
	}
}

// end asks, then insists: Shutdown, SIGTERM to the group, SIGKILL to the group.
func (w *worker) end(parts *sync.WaitGroup) {
	parts.Go(w.plugin.Kill) // sends Shutdown; its own SIGKILL after 2 s is ours too
	if w.exitsWithin(w.stopIn) {
		return
	}
	w.logger.Warn("the worker doesn't stop; sending SIGTERM", "pid", w.desc.Process.PID)
	w.proc.Signal(sigTerm)
	if w.exitsWithin(termTimeout) {
		return
	}
	w.logger.Warn("the worker doesn't stop; sending SIGKILL", "pid", w.desc.Process.PID)
	w.proc.Signal(sigKill)
}

func (w *worker) exitsWithin(d time.Duration) bool {
	select {
	case <-w.proc.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// finish decides why the worker ended.
func (w *worker) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked {
		return
	}
	w.err = w.crash()
}

func (w *worker) crash() error {
	exit, note := w.proc.exit, w.proc.note
	var e, why *errdefs.Error
	switch cause := w.proc.killedFor(); {
	case errors.As(cause, &why) && why.Reason == errdefs.WorkerHung:
		e = errdefs.Wrap(errdefs.WorkerHung, cause, "the worker was killed")
	case cause != nil:
		e = errdefs.Wrap(errdefs.WorkerCrashed, cause, "the worker was killed")
	case note != "":
		e = errdefs.New(errdefs.WorkerCrashed, "the worker's process ended: %s (%s)", exit, note)
	default:
		e = errdefs.New(errdefs.WorkerCrashed, "the worker's process ended: %s", exit)
	}
	e.Exit = &exit
	return e
}

// explain adds to the lane's word that it ended how the process did, which is
// known a moment later.
func (w *worker) explain(ctx context.Context, err error) error {
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Reason != errdefs.WorkerCrashed {
		return err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return err
	}
	var why *errdefs.Error
	if !errors.As(w.Err(), &why) {
		why = errdefs.New(errdefs.Draining, "the worker was stopped")
	}
	out := *why
	out.MayHaveRun = e.MayHaveRun
	return out.At(errdefs.Where{Worker: string(w.id)})
}
