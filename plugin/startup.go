package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// discardTimeout bounds how long a failed launch waits for its process to be
// reaped after SIGKILL.
const discardTimeout = 5 * time.Second

// lastWords is how long a failed start waits for the process to end by itself, so
// that its exit and its last lines can be told.
const lastWords = 500 * time.Millisecond

// startup is one launch under way.
type startup struct {
	l      *Launcher
	spec   host.Spec
	dir    string
	logger hclog.Logger
	proc   *process
	plugin *goplugin.Client

	devices []string // GPUs of its own
	after   uint64   // the last incarnation that attached to it: another host's may be above ours
}

// chooseParent finds what the worker is to be forked from, where it's not to be executed.
func (s *startup) chooseParent(ctx context.Context) (err error) {
	if !s.spec.Settings.Fork {
		s.l.forks.release(s.spec)
		return nil
	}
	s.proc.from, err = s.l.forks.find(ctx, s.spec)
	return err
}

// doubtParent has the next worker forked from another process when this one didn't
// start: the adapter may have been mended since it was imported.
func (s *startup) doubtParent(ctx context.Context) {
	if s.proc.from != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.proc.from.discard()
	}
}

// start goes from nothing to a worker that takes calls. Whatever it waits for ends
// with ctx, and with the process.
func (s *startup) start(ctx context.Context, serve host.ToolServer) (host.Worker, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errStarted)
	s.l.wg.Go(func() { s.watch(ctx, cancel) })
	d, err := s.handshake()
	if err != nil {
		return nil, err
	}
	if err := checkHealth(ctx, d); err != nil {
		return nil, err
	}
	desc, err := s.describe(ctx, d)
	if err != nil {
		return nil, err
	}
	s.l.step("described")
	conn, err := s.attach(ctx, d)
	if err != nil {
		return nil, err
	}
	s.l.step("attached")
	if err := s.complete(desc); err != nil {
		return nil, err
	}
	s.l.step("completed")
	return s.worker(ctx, desc, conn, serve)
}

// complete records how a later host finds the worker.
func (s *startup) complete(desc host.Description) error {
	rec := s.proc.record()
	rec.Reattach.Slots, rec.Reattach.Incarnation = desc.Slots, s.incarnation()
	if err := s.l.records.complete(s.spec.Worker, rec.Reattach); err != nil {
		return err
	}
	return s.proc.setNote(note(rec))
}

// watch ends a start whose process has died, and kills the process of one whose
// time is up: go-plugin's own waits know no context.
func (s *startup) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-s.proc.exited:
		cancel(errExited)
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), errStarted) {
			s.proc.Signal(sigKill)
		}
	}
}

var (
	errExited  = errors.New("the process has ended")
	errStarted = errors.New("the start is over")
)

// handshake runs go-plugin's part. It returns once the connection is there; an
// error there hides behind a nil error of go-plugin's, hence the health check.
func (s *startup) handshake() (dispensed, error) {
	protocol, err := s.plugin.Client()
	if err != nil {
		return dispensed{}, fmt.Errorf("handshake: %w", err)
	}
	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		return dispensed{}, fmt.Errorf("dispense: %w", err)
	}
	d, ok := raw.(dispensed)
	if !ok {
		return dispensed{}, fmt.Errorf("dispense gave %T", raw)
	}
	return d, nil
}

func checkHealth(ctx context.Context, d dispensed) error {
	r, err := grpc_health_v1.NewHealthClient(d.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	if st := r.GetStatus(); st != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health check: the worker is %s", st)
	}
	return nil
}

// describe waits for the adapter's set-up.
func (s *startup) describe(ctx context.Context, d dispensed) (host.Description, error) {
	r, err := d.worker.Describe(ctx, &snakepitv1.DescribeRequest{})
	if err != nil {
		return host.Description{}, fmt.Errorf("describe: %w", errdefs.FromStatus(err))
	}
	desc, err := descriptionOf(r)
	if err != nil {
		return desc, fmt.Errorf("describe: %w", err)
	}
	desc.Process = s.proc.identity()
	desc.StartedAt = time.Now()
	return desc, nil
}

func (s *startup) attach(ctx context.Context, d dispensed) (*connection, error) {
	r, err := d.worker.Attach(ctx, &snakepitv1.AttachRequest{
		Host:        s.l.cfg.Host,
		Incarnation: s.incarnation(),
		Worker:      string(s.spec.Worker),
		Settings: &snakepitv1.WorkerSettings{
			StrictResults: s.spec.Settings.StrictResults,
			MaxPayload:    uint64(max(s.spec.Settings.MaxPayload, 0)),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("attach: %w", errdefs.FromStatus(err))
	}
	return &connection{
		dispensed: d, token: r.GetLaneToken(), address: r.GetLaneAddress(),
		dir: s.dir, pid: s.proc.identity().PID, carrier: s.spec.Settings.Carrier, maxPayload: s.spec.Settings.MaxPayload,
	}, nil
}

// incarnation is the one to attach as: the worker refuses whoever comes below the last.
// Its keeper has made sure that the host which attached as that is gone.
func (s *startup) incarnation() uint64 {
	if s.after == 0 {
		return s.l.cfg.Incarnation
	}
	return max(s.l.cfg.Incarnation, s.after+1)
}

// discard undoes a start: afterwards there's no process and no folder. It reports
// whether the process ended by itself.
func (s *startup) discard() bool {
	byItself := s.endsByItself()
	s.proc.Signal(sigKill)
	if s.plugin != nil {
		s.l.wg.Go(s.plugin.Kill) // closes the connection; ends with the process
	}
	if s.proc.identity().PID != 0 {
		select {
		case <-s.proc.exited:
		case <-time.After(discardTimeout): // in state D: nobody can end it now
			s.logger.Error("the process of a failed start can't be killed", "pid", s.proc.identity().PID)
		}
	}
	_ = os.RemoveAll(s.dir) // empty but for sockets
	return byItself
}

// endsByItself gives a worker that reports a failure the time to end.
func (s *startup) endsByItself() bool {
	if s.proc.identity().PID == 0 {
		return false
	}
	select {
	case <-s.proc.exited:
		return true
	case <-time.After(lastWords):
		return false
	}
}

// explain turns whatever stopped the start into start_failed: the worker's own
// word if there is one, else how it ended, else what we waited for.
func (s *startup) explain(ctx context.Context, err error, byItself bool) *errdefs.Error {
	e := s.cause(ctx, err, byItself)
	if e.Hint == "" {
		e.Hint = s.hint(e)
	}
	return e
}

func (s *startup) cause(ctx context.Context, err error, byItself bool) *errdefs.Error {
	var typed *errdefs.Error
	switch {
	case byItself && s.proc.refused() != nil:
		if errors.As(s.proc.refused(), &typed) {
			return typed
		}
		return errdefs.Wrap(errdefs.StartFailed, s.proc.refused(), "adapter %s", s.spec.Command.Adapter)
	case errors.As(err, &typed) && (typed.Exception != nil || speaksForItself(typed.Reason)):
		return typed
	case ctx.Err() != nil:
		return s.timedOut(ctx)
	case byItself:
		exit := s.proc.exit
		e := errdefs.New(errdefs.StartFailed, "adapter %s: the worker ended before it was ready: %s%s", s.spec.Command.Adapter, exit, lastWord(exit))
		e.Exit = &exit
		return e
	default:
		return errdefs.Wrap(errdefs.StartFailed, err, "adapter %s", s.spec.Command.Adapter)
	}
}

// speaksForItself tells what start_failed would hide.
func speaksForItself(r errdefs.Reason) bool {
	return r == errdefs.VersionMismatch || r == errdefs.StartFailed || r == errdefs.DiskFull
}

// lastWord is the last line of standard error, which in Python names the exception.
func lastWord(exit errdefs.Exit) string {
	for _, line := range slices.Backward(exit.Stderr) {
		if line = strings.TrimSpace(line); line != "" {
			return ": " + line
		}
	}
	return ""
}

// timedOut tells start_timeout from a caller that went away.
func (s *startup) timedOut(ctx context.Context) *errdefs.Error {
	e := errdefs.Wrap(errdefs.StartFailed, context.Cause(ctx), "adapter %s", s.spec.Command.Adapter)
	if tail := s.proc.log.last(); len(tail) > 0 {
		e.Exit = &errdefs.Exit{Code: -1, Signal: "SIGKILL", Stderr: tail}
	}
	return e
}

// hint finds the adapter's advice for what the worker left behind.
func (s *startup) hint(e *errdefs.Error) string {
	said := append(s.proc.log.last(), e.Message)
	for _, h := range s.spec.Command.Hints {
		for _, line := range said {
			if strings.Contains(line, h.Match) {
				return h.Hint
			}
		}
	}
	return ""
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
