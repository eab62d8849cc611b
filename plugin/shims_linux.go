package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// shims forks workers through a shim: it starts one, and another when that dies.
type shims struct {
	cfg    shim.Config
	logger hclog.Logger
	errors string // the file for what guard and shim complain about; empty: none

	pairs   sync.WaitGroup // their ends
	opening chan struct{}  // holds a token while nobody opens a pair

	mu       sync.Mutex     // guards the fields below
	client   *shim.Client   // whose shim forks
	live     []*shim.Client // all; beside it those of an earlier host, and of others that are dead
	taking   []*shim.Client // of another host: it isn't decided yet what becomes of them
	deadline int64          // of the lease
	over     bool           // no pair is started any more
}

// newNursery leaves the group of the workers' goroutines alone: the pairs have one of their own.
func newNursery(cfg Config, _ *sync.WaitGroup) nursery { return newShims(cfg) }

func newShims(cfg Config) *shims {
	s := &shims{
		cfg: shim.Config{
			Dir: cfg.Dir, Instance: cfg.Instance, Isolated: cfg.Isolated,
			Settings: shim.Settings{Grace: cfg.OrphanGrace, StopAfter: cfg.StopAfter, Cgroups: !cfg.NoCgroups},
		},
		logger: cfg.Logger.Named("shim"), opening: make(chan struct{}, 1),
	}
	if cfg.LogDir != "" {
		s.errors = filepath.Join(cfg.LogDir, "shim.log")
	}
	s.opening <- struct{}{}
	return s
}

// run implements nursery.
func (s *shims) run(ctx context.Context) error {
	<-ctx.Done()
	for _, c := range s.close() {
		_ = c.End() // it may have ended, or been left
	}
	s.pairs.Wait()
	if !shim.InUse(s.cfg.Dir) {
		_ = os.Remove(filepath.Join(s.cfg.Dir, shim.LockFile)) // there may be none
	}
	return nil
}

// close lets no further pair be started, and gives those that live.
func (s *shims) close() []*shim.Client {
	<-s.opening // whoever opens a pair has done so; nobody does from here on
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.opening <- struct{}{}
	return slices.Concat(s.live, s.taking)
}

// environ implements nursery: the shim watches over the worker.
func (s *shims) environ() []string { return []string{"SNAKEPIT_WORKER_GUARDED=1"} }

// start implements nursery.
func (s *shims) start(ctx context.Context, p *process) (child, error) {
	c, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := spawn(c, p)
	if errors.Is(err, shim.ErrGone) {
		return nil, errdefs.Wrap(errdefs.StartFailed, err, "the process that keeps the workers died during the start")
	}
	if err != nil {
		return nil, err
	}
	p.held(ch.Limits())
	return shimChild{ch}, nil
}

// forks says that workers can be forked here.
func (s *shims) forks() {}

// spawn has the process forked from its forkserver, and executed where that fails or
// there is none.
func spawn(c *shim.Client, p *process) (*shim.Child, error) {
	order := shim.Spawn{
		Worker: string(p.id), Token: p.token, Path: p.cmd.Path, Args: p.cmd.Args, Env: p.cmd.Env, Dir: p.cmd.Dir, Log: p.log.path,
		Limits: p.limits, Forks: p.forks,
	}
	if p.from != nil {
		order.From = string(p.from.proc.id)
		ch, err := c.Spawn(order, shimSink{p})
		if err == nil || errors.Is(err, shim.ErrGone) {
			return ch, err
		}
		p.from.lost(err)
		order.From = ""
	}
	return c.Spawn(order, shimSink{p})
}

// open gives the live pair's client, and starts a pair where there is none.
func (s *shims) open(ctx context.Context) (*shim.Client, error) {
	select {
	case <-s.opening:
		defer func() { s.opening <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	c, over := s.client, s.over
	s.mu.Unlock()
	if over {
		return nil, errStopped()
	}
	if c != nil && !isClosed(c.Done()) {
		return c, nil
	}
	return s.startPair()
}

func (s *shims) startPair() (*shim.Client, error) {
	cfg := s.cfg
	if s.errors != "" {
		f, err := os.OpenFile(s.errors, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // the guard has its own
		cfg.Errors = f
	}
	s.mu.Lock()
	cfg.Deadline = s.deadline
	s.mu.Unlock()
	c, wait, err := shim.Start(cfg)
	if err != nil {
		return nil, s.cannotStart(err)
	}
	s.use(c, wait, cfg.Deadline)
	return c, nil
}

func (s *shims) cannotStart(err error) error {
	e := errdefs.Wrap(errdefs.StartFailed, err, "the process that keeps the workers")
	if s.cfg.Isolated && errors.Is(err, unix.EPERM) {
		e.Hint = "isolation: pidns needs root or CAP_SYS_ADMIN"
	}
	return e
}

// use makes a client the one, and watches it to its end. told is the deadline of the
// lease that it knows of.
func (s *shims) use(c *shim.Client, wait func() error, told int64) {
	s.mu.Lock()
	s.client, s.live = c, append(s.live, c)
	deadline := s.deadline
	s.mu.Unlock()
	if deadline != told {
		_ = c.SetLease(deadline) // it's queued; gone: with its workers
	}
	s.pairs.Go(func() { s.watch(c, wait) })
}

// watch is a client's life.
func (s *shims) watch(c *shim.Client, wait func() error) {
	err := c.Run()
	s.mu.Lock()
	isIt := func(other *shim.Client) bool { return other == c }
	s.live, s.taking = slices.DeleteFunc(s.live, isIt), slices.DeleteFunc(s.taking, isIt)
	s.mu.Unlock()
	switch {
	case err != nil && c.Heir():
		s.logger.Error("guard or shim of another host died, and the workers that were adopted with them", "err", err)
	case err != nil:
		s.logger.Error("guard or shim died, and the workers with them; the next start brings a new pair", "err", err)
	}
	if c.Detached() {
		return
	}
	_ = os.Remove(c.Socket()) // it may be gone
	if err := wait(); err != nil {
		s.logger.Debug("the guard", "err", err) // it was killed, say; it's reaped
	}
}

// guardTime is how long the guard of a shim that has ended may take to follow.
const guardTime = 2 * time.Second

// awaitGuard waits for the end of a guard that isn't our child. Its folder may hold
// another pair by now, so its lock says nothing.
func awaitGuard(guard proc.ID) error {
	p, err := proc.Pin(guard)
	if err != nil {
		return nil // it's gone
	}
	defer p.Close()
	if !p.Exited(guardTime) {
		return errors.New("it's still there")
	}
	return nil
}

// lease tells the live pair, and those to come, when the lease ends.
func (s *shims) lease(deadline int64) error {
	s.mu.Lock()
	s.deadline = deadline
	live := slices.Clone(s.live)
	s.mu.Unlock()
	for _, c := range live {
		if err := c.SetLease(deadline); err != nil && !errors.Is(err, shim.ErrGone) { // gone: with its workers
			return err
		}
	}
	return nil
}

// leave implements nursery.
func (s *shims) leave(grace time.Duration) error {
	var errs []error
	for _, c := range s.close() {
		let := func() error { return c.Detach(grace) }
		if c.Heir() {
			let = c.End
		}
		if err := let(); err != nil && !errors.Is(err, shim.ErrGone) { // gone: with its workers
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// recover implements nursery: it goes on with the pair of the last host, if one lives. A
// pair that has an heir is left to that one.
func (s *shims) recover(context.Context) (ours []found, theirs []ledger.Record, err error) {
	sockets, err := socketsIn(s.cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	for _, socket := range sockets {
		s.mu.Lock()
		settings := s.cfg.Settings
		settings.Deadline = s.deadline
		s.mu.Unlock()
		c, err := shim.Attach(socket, s.cfg.Instance, settings)
		var attached *shim.AttachedError
		switch {
		case errors.As(err, &attached) && attached.Heir:
			s.logger.Warn("workers of the last host belong to another host, which has adopted them", "process", attached.PID, "workers", len(attached.Kept))
			for _, k := range attached.Kept {
				theirs = append(theirs, recordOf(k.Worker, k.Token, k.Note))
			}
		case attached != nil:
			return nil, nil, errdefs.Wrap(errdefs.Exists, err, "the workers in %s belong to a live host", s.cfg.Dir)
		case err != nil:
			s.logger.Debug("no shim answers", "socket", socket, "err", err)
			_ = os.Remove(socket) // it may be gone by itself
		default:
			s.use(c, func() error { return awaitGuard(c.Guard()) }, settings.Deadline)
			ours = append(ours, foundBy(c)...)
		}
	}
	return ours, theirs, nil
}

func socketsIn(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, "shim-*.sock")) }

func foundBy(c *shim.Client) []found {
	var all []found
	for _, ch := range c.Survivors() {
		rec := recordOf(ch.Worker(), ch.Token(), ch.Note())
		kept := shimChild{ch}
		all = append(all, found{
			rec: rec, id: kept.identity(), frozen: ch.Frozen(), incarnation: rec.Reattach.Incarnation,
			adopt: func(p *process) child {
				ch.Adopt(shimSink{p})
				return kept
			},
			end: func() {
				gone := goneSink{make(chan struct{})}
				ch.Kill()
				ch.Adopt(gone)
				select {
				case <-gone.exited:
				case <-time.After(discardTimeout): // in state D: nobody can end it now
				}
			},
		})
	}
	return all
}

// goneSink waits for the end of a worker that nobody wants.
type goneSink struct{ exited chan struct{} }

// Printed implements shim.Sink.
func (goneSink) Printed(byte, []byte) {}

// Stopped implements shim.Sink.
func (goneSink) Stopped(bool) {}

// Frozen implements shim.Sink.
func (goneSink) Frozen(bool) {}

// Exited implements shim.Sink.
func (g goneSink) Exited(shim.Exit) { close(g.exited) }

// shimChild is a process whose parent the shim is.
type shimChild struct{ *shim.Child }

func (c shimChild) identity() host.Process {
	id := c.ID()
	return host.Process{PID: id.PID, StartTime: id.Start}
}

func (c shimChild) signal(sig signal) { c.Signal(sig) }

func (c shimChild) kill() { c.Kill() }

// shimSink tells a process what its shim has to say about it.
type shimSink struct{ p *process }

// Printed implements shim.Sink.
func (s shimSink) Printed(stream byte, data []byte) { s.p.hear(stream, data) }

// Stopped implements shim.Sink.
func (s shimSink) Stopped(stopped bool) {
	if stopped {
		s.p.stopped()
		return
	}
	s.p.goesOn()
}

// Frozen implements shim.Sink.
func (s shimSink) Frozen(frozen bool) { s.p.noteFrozen(frozen) }

// Exited implements shim.Sink.
func (s shimSink) Exited(e shim.Exit) {
	if e.Left > 0 {
		s.p.say(hclog.Info, "the worker left processes behind; they were killed", "processes", e.Left)
	}
	if e.Lost { // with the guard, maybe, and then nobody ends whom the worker has left behind
		s.p.l.wg.Go(func() { sweepBelow(s.p.token) })
	}
	s.p.ended(exitOfShim(e))
}

func exitOfShim(e shim.Exit) (exit errdefs.Exit, note string) {
	status := syscall.WaitStatus(e.Status)
	switch {
	case e.Lost:
		return errdefs.Exit{Code: -1, Signal: unix.SignalName(unix.SIGKILL)}, "the process that kept it has died"
	case status.Signaled() && e.Over == shim.LimitMemory:
		return errdefs.Exit{Code: -1, Signal: unix.SignalName(status.Signal())}, "it went over its limit of memory"
	case status.Signaled() && e.OOM:
		return errdefs.Exit{Code: -1, Signal: unix.SignalName(status.Signal())}, "the system ran out of memory"
	case status.Signaled():
		return errdefs.Exit{Code: -1, Signal: unix.SignalName(status.Signal())}, ""
	}
	return errdefs.Exit{Code: status.ExitStatus()}, ""
}
