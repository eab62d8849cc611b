package embed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/plugin"
)

// Host is a host inside this program. It's a snakepit.Caller.
type Host struct {
	cfg    Config
	set    settings
	logger hclog.Logger
	dirs   *dirs
	engine *host.Host
	record Record

	listener net.Listener // nil: no API

	quit     chan struct{} // closed by the first Shutdown
	quitOnce sync.Once
	force    context.CancelFunc // ends the workers at once

	done chan struct{}
	err  error // valid after done
}

// Start starts a host and returns it once every pool has its workers; ctx bounds
// the start alone. On error nothing is left: no process, no folder, no listener.
func Start(ctx context.Context, cfg Config) (*Host, error) {
	h, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	launcher := h.launcher()
	if h.engine, err = host.New(h.engineConfig(launcher)); err != nil {
		return nil, errors.Join(err, h.dirs.close())
	}
	if err := h.listen(); err != nil {
		return nil, errors.Join(err, h.dirs.close())
	}
	h.launchParts(ctx, launcher)
	if err := h.engine.Ready(ctx); err != nil {
		return nil, errors.Join(err, h.Close()) // ctx may be what ended the start
	}
	return h, nil
}

// prepare checks the configuration, then takes the folders.
func prepare(cfg Config) (*Host, error) {
	set, err := settle(cfg)
	if err != nil {
		return nil, err
	}
	logger := cfg.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	d, err := openDirs(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	return &Host{
		cfg: cfg, set: set, logger: logger, dirs: d,
		record: Record{
			PID: os.Getpid(), Node: set.host.Node, Socket: d.socket(), StartedAt: time.Now(),
			Version: cmp.Or(cfg.Version, version()),
		},
		quit: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

func (h *Host) launcher() *plugin.Launcher {
	return plugin.NewLauncher(plugin.Config{
		Dir: h.dirs.run, LogDir: h.dirs.logs(), Host: h.set.host.Node, Incarnation: 1, Logger: h.logger,
	})
}

func (h *Host) listen() error {
	if !h.cfg.Serve {
		return nil
	}
	l, err := net.Listen("unix", h.dirs.socket()) //nolint:noctx // a Unix socket binds at once
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h.listener = l
	if h.cfg.DataDir == "" {
		return nil
	}
	if err := h.dirs.writeRecord(h.record); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// launchParts starts the one goroutine that owns all others. The parts live until
// Shutdown, not until ctx is done.
func (h *Host) launchParts(ctx context.Context, launcher *plugin.Launcher) {
	live := context.WithoutCancel(ctx)
	forced, force := context.WithCancel(live)
	h.force = force
	var all sync.WaitGroup
	all.Go(func() { h.run(forced, launcher) })
}

// run holds the parts together: the API ends first, then the engine with its
// workers, then the launcher, then the folders go.
func (h *Host) run(forced context.Context, launcher *plugin.Launcher) {
	defer close(h.done)
	defer h.force()
	var parts sync.WaitGroup
	launching, endLaunching := context.WithCancel(forced)
	parts.Go(func() { _ = launcher.Run(launching) }) // it only ever ends because we end it

	engineCtx, endEngine := context.WithCancel(forced)
	engineDone := make(chan error, 1)
	parts.Go(func() { engineDone <- h.engine.Run(engineCtx) })

	apiCtx, endAPI := context.WithCancel(forced)
	apiDone := make(chan error, 1)
	parts.Go(func() { apiDone <- h.serve(apiCtx) })

	var err error
	select {
	case <-h.quit:
	case <-forced.Done():
	case err = <-engineDone:
		engineDone <- nil
	case err = <-apiDone:
		apiDone <- nil
	}
	endEngine() // drains: calls under way finish, and their answers still go out
	err = errors.Join(err, <-engineDone)
	endAPI()
	err = errors.Join(err, <-apiDone)
	endLaunching()
	parts.Wait()
	h.err = errors.Join(err, h.dirs.close())
}

func (h *Host) serve(ctx context.Context) error {
	if h.listener == nil {
		<-ctx.Done()
		return nil
	}
	return rpc.NewServer(h.engine, rpc.Config{
		Version: h.record.Version, DataDir: h.dirs.data, Logger: h.logger.Named("rpc"),
	}).Serve(ctx, h.listener)
}

// Wait blocks until the host has ended and says why; nil after Close or Shutdown.
// ctx bounds the waiting alone.
func (h *Host) Wait(ctx context.Context) error {
	select {
	case <-h.done:
		return h.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown lets running calls finish for up to shutdown_timeout, stops the
// workers, and returns when nothing of the host is left. When ctx ends before
// that, the workers are killed at once. It may be called again, and at any time.
func (h *Host) Shutdown(ctx context.Context) error {
	h.quitOnce.Do(func() { close(h.quit) })
	select {
	case <-h.done:
	case <-ctx.Done():
		h.force()
		<-h.done
	}
	return h.err
}

// Close implements snakepit.Caller: it's Shutdown with all the time that the
// knobs allow.
func (h *Host) Close() error { return h.Shutdown(context.Background()) }

// Socket is the path of the API's socket; empty when there is none.
func (h *Host) Socket() string {
	if h.listener == nil {
		return ""
	}
	return h.record.Socket
}

// Record is what host.json says of this host.
func (h *Host) Record() Record { return h.record }

// Status is how the host is.
func (h *Host) Status() host.Status { return h.engine.Status() }

// Workers lists the workers of a pool, or of all.
func (h *Host) Workers(pool string) []host.WorkerStatus { return h.engine.Workers(pool) }

// Invoke starts a call with arguments that are encoded already, and leaves its
// messages to the caller.
func (h *Host) Invoke(ctx context.Context, req host.Request) (*host.Call, error) {
	return h.engine.Open(ctx, req)
}
