package embed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/ledger"
)

// Host is a host inside this program. It's a snakepit.Caller.
type Host struct {
	cfg      Config
	set      settings // as it was started
	logger   hclog.Logger
	dirs     *dirs
	ledger   *ledger.Ledger
	registry *cluster.Node // nil: in memory
	node     *node         // nil: this host is none of several
	engine   *host.Host
	record   Record

	launcher *plugin.Launcher
	listener net.Listener // nil: no API
	watchers []watched

	complete  chan struct{}        // closed when every pool has its workers
	from      *inheritance         // nil: nobody's place was taken
	upgrading atomic.Bool          // a new process is being started, or has taken over
	leaving   atomic.Bool          // the membership ends with the host
	heir      atomic.Pointer[heir] // nil: nobody takes over

	quit     chan struct{} // closed by the first Shutdown
	quitOnce sync.Once
	force    context.CancelFunc // ends the workers at once

	done chan struct{}
	err  error // valid after done

	reloading sync.Mutex               // held while the configuration is read again
	applied   atomic.Pointer[settings] // what holds now; the host's own knobs are those of set

	turn       chan struct{} // has room for one: who changes what holds
	overridden chan struct{} // has room for one: what is set for all hosts may have changed
}

// Start starts a host and returns it once every pool has its workers; ctx bounds
// the start alone. On error nothing of its own is left: no process, no folder, no
// listener. Workers that an earlier host left in the data directory go on.
func Start(ctx context.Context, cfg Config) (*Host, error) {
	h, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	if err := h.awaitTurn(ctx); err != nil {
		return nil, errors.Join(err, h.dirs.pass())
	}
	if err := h.openParts(ctx); err != nil {
		return nil, errors.Join(err, h.abandon(ctx))
	}
	h.launchParts(ctx)
	if err := h.ready(ctx); err != nil {
		return nil, errors.Join(err, h.Close()) // ctx may be what ended the start
	}
	close(h.complete)
	return h, nil
}

// ready blocks until every pool has its workers, or the host has ended by itself.
func (h *Host) ready(ctx context.Context) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan error, 1)
	waiting.Go(func() { ready <- h.engine.Ready(ctx) })
	select {
	case err := <-ready:
		return err
	case <-h.done:
		return errors.New("the host has ended") // Close says why
	}
}

// awaitTurn waits for the host that this process takes over from, if any.
func (h *Host) awaitTurn(ctx context.Context) error {
	if h.from == nil {
		return nil
	}
	if err := h.from.awaitTurn(ctx); err != nil {
		return errors.Join(err, h.from.listener.Close())
	}
	var errs []error
	for _, f := range h.dirs.locks {
		errs = append(errs, writePID(f, ""))
	}
	return errors.Join(errs...)
}

// lockWait is how long the lock of a host that was killed may outlast it: a fork of
// its, a moment before its exec, holds every file that the host had open.
const lockWait = 2 * time.Second

// openParts opens what is on disk and finds what the last host has left; nothing runs yet.
func (h *Host) openParts(ctx context.Context) (err error) {
	if h.ledger, err = ledger.Open(h.dirs.ledger(), ledger.Options{NoSync: h.dirs.data == "", LockTimeout: lockWait}); err != nil {
		return err
	}
	if torn := h.ledger.SetAside(); torn != "" {
		h.logger.Warn("the ledger was torn; a new one is made of what lives", "torn", torn)
	}
	h.launcher = plugin.NewLauncher(h.launcherConfig())
	if h.set.host.ClusterListen != "" { // or what the last host had begun would go on with none
		if err := h.launcher.SetLease(leaseEnded); err != nil {
			return err
		}
	}
	if err := h.launcher.Recover(ctx); err != nil {
		return err
	}
	if err := h.openRegistry(ctx); err != nil {
		return err
	}
	if h.engine, err = h.newEngine(); err != nil {
		return err
	}
	if h.node != nil {
		h.node.tenure.bind(h.engine)
		if err := h.forsakeStrangers(ctx); err != nil {
			return err
		}
	}
	if err := h.openWatchers(); err != nil {
		return err
	}
	return h.listen()
}

// openRegistry opens the record of sessions; a private host keeps its own in memory.
func (h *Host) openRegistry(ctx context.Context) (err error) {
	if h.set.host.ClusterListen != "" {
		return h.openNode(ctx)
	}
	if h.dirs.data == "" {
		return nil
	}
	h.registry, err = cluster.Open(ctx, cluster.Config{
		Dir: h.dirs.registry(), Node: h.set.host.Node, MaxSessions: h.set.host.MaxSessions, Logger: h.logger,
		OnOverrides: h.onOverrides,
	})
	return err
}

// registryDone is closed when the registry can't go on; nil where it's in memory.
func (h *Host) registryDone() <-chan struct{} {
	if h.registry == nil {
		return nil
	}
	return h.registry.Done()
}

// abandon gives up what a failed start has opened. Workers that it found stay for
// the next one.
func (h *Host) abandon(ctx context.Context) error {
	errs := []error{h.watch(ended(ctx))}
	if h.launcher != nil {
		errs = append(errs, h.launcher.Leave(h.set.host.OrphanGrace), h.launcher.Run(ended(ctx)))
	}
	return errors.Join(append(errs, h.closeFiles())...)
}

// closeFiles gives up what is open on disk.
func (h *Host) closeFiles() error {
	var errs []error
	if h.registry != nil {
		errs = append(errs, h.registry.Close())
	}
	h.node.stop()
	if h.ledger != nil {
		errs = append(errs, h.ledger.Close())
	}
	if h.Heir() != 0 {
		return errors.Join(append(errs, h.dirs.pass())...)
	}
	return errors.Join(append(errs, h.dirs.close())...)
}

// ended is a context that is done.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	return ctx
}

// prepare checks the configuration, then takes the folders.
func prepare(cfg Config) (*Host, error) {
	set, err := settle(cfg, nil)
	if err != nil {
		return nil, err
	}
	logger := cfg.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	if cfg.DataDir, err = InstanceDir(cmp.Or(cfg.DataDir, set.loaded.DataDirectory()), cmp.Or(cfg.Instance, set.host.Instance)); err != nil {
		return nil, err
	}
	in, err := openInheritance(cfg)
	if err != nil {
		return nil, err
	}
	d, err := openDirs(cfg.DataDir, in)
	if err != nil {
		return nil, err
	}
	h := &Host{
		from: in,
		cfg:  cfg, set: set, logger: logger, dirs: d,
		record: Record{
			PID: os.Getpid(), Node: set.host.Node, Socket: d.socket(), StartedAt: time.Now(),
			Version: cmp.Or(cfg.Version, version()),
		},
		complete: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
		turn: make(chan struct{}, 1), overridden: make(chan struct{}, 1),
	}
	h.onOverrides(nil) // once the engine runs it's looked at whatever was known before
	h.applied.Store(&h.set)
	h.logWarnings(set.loaded.Warnings)
	return h, nil
}

func (h *Host) launcherConfig() plugin.Config {
	k := h.set.host
	grace := k.OrphanGrace
	if h.dirs.data == "" {
		grace = 0 // nobody would come back for them
	}
	return plugin.Config{
		Dir: h.dirs.run, LogDir: h.dirs.logs(), Host: k.Node, Instance: h.dirs.instance, Ledger: h.ledger,
		OrphanGrace: grace, StopAfter: k.StopAfter, ProbeTimeout: k.ProbeTimeout,
		Isolated: k.Isolation == "pidns", NoCgroups: k.Cgroups == "off", Logger: h.logger,
	}
}

func (h *Host) listen() error {
	if !h.cfg.Serve {
		return nil
	}
	l, err := h.bind()
	if err != nil {
		return err
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

// bind takes over the listener of the host before, or opens one.
func (h *Host) bind() (net.Listener, error) {
	if h.from != nil {
		return h.from.listener, nil
	}
	l, err := net.Listen("unix", h.dirs.socket()) //nolint:noctx // a Unix socket binds at once
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// launchParts starts the one goroutine that owns all others. The parts live until
// Shutdown, not until ctx is done.
func (h *Host) launchParts(ctx context.Context) {
	live := context.WithoutCancel(ctx)
	forced, force := context.WithCancel(live)
	h.force = force
	var all sync.WaitGroup
	all.Go(func() { h.run(forced) })
}

// run holds the parts together: the API ends first, then the engine with its
// workers, then the launcher, then the folders go.
func (h *Host) run(forced context.Context) {
	defer close(h.done)
	defer h.force()
	var parts sync.WaitGroup
	launching, endLaunching := context.WithCancel(forced)
	parts.Go(func() { _ = h.launcher.Run(launching) }) // it only ever ends because we end it

	engineCtx, endEngine := context.WithCancel(forced)
	engineDone := make(chan error, 1)
	parts.Go(func() { engineDone <- h.engine.Run(engineCtx) })

	parts.Go(func() { _ = h.watch(engineCtx) }) // what can't be closed is gone
	parts.Go(func() { h.serveNode(launching) })
	parts.Go(func() { h.followOverrides(engineCtx) })
	parts.Go(func() { h.seeToNeighbours(launching) })

	apiCtx, endAPI := context.WithCancel(forced)
	apiDone := make(chan error, 1)
	parts.Go(func() { apiDone <- h.serve(apiCtx) }) // once the engine has found its place

	var err error
	select {
	case <-h.quit:
		h.depart(forced)
	case <-forced.Done():
	case err = <-h.node.failed():
	case err = <-engineDone:
		engineDone <- nil
	case err = <-apiDone:
		apiDone <- nil
	case <-h.registryDone(): // closing it says why
	}
	if h.Heir() != 0 { // whoever calls from now on waits for the heir; who came before is still served
		endAPI()
		apiErr := <-apiDone
		err = errors.Join(err, apiErr)
		apiDone <- nil
	}
	endEngine() // drains: calls under way finish, and their answers still go out
	err = errors.Join(err, <-engineDone)
	err = errors.Join(err, h.resign(forced))
	endAPI()
	err = errors.Join(err, <-apiDone)
	if h.Heir() != 0 {
		err = errors.Join(err, h.launcher.Leave(max(h.set.host.OrphanGrace, heirGrace)))
	}
	endLaunching()
	parts.Wait()
	h.err = errors.Join(err, h.closeFiles(), h.handOver())
}

func (h *Host) serve(ctx context.Context) error {
	open := h.engine.Seated()
	if h.from != nil {
		open = h.complete // callers wait in the listener's queue until all is as it was
	}
	select {
	case <-open:
	case <-ctx.Done():
		return h.closeListener()
	}
	listeners := h.listeners()
	if len(listeners) == 0 {
		<-ctx.Done()
		return nil
	}
	return rpc.NewServer(h.engine, rpc.Config{
		Version: h.record.Version, DataDir: h.dirs.data, Logger: h.logger.Named("rpc"),
		Upgrade: h.upgradeFunc(), StopTimeout: h.stopTimeout, ReloadConfig: h.ReloadConfig, Overrides: h,
		Cluster: h.clusterParts(),
		Owner:   h.ownerOf(), //nolint:contextcheck // it reads memory
	}).Serve(ctx, listeners...)
}

// listeners are where clients arrive.
func (h *Host) listeners() (all []net.Listener) {
	if h.listener != nil {
		all = append(all, h.listener)
	}
	if l := h.node.api(); l != nil {
		all = append(all, l)
	}
	return all
}

func (h *Host) upgradeFunc() func(context.Context) (int, error) {
	if h.cfg.Successor == nil {
		return nil
	}
	return h.Upgrade
}

// stopTimeout is how long running calls may still use the API: at the end they have
// been drained before, at an upgrade they are being.
func (h *Host) stopTimeout() time.Duration {
	if h.Heir() != 0 {
		return h.set.host.UpgradeWait + h.slowest()
	}
	return apiStopTimeout
}

// slowest is the longest cancel_grace: calls that are cut short may take that long to say so.
func (h *Host) slowest() time.Duration {
	var most time.Duration
	for _, p := range h.applied.Load().pools {
		most = max(most, p.CancelGrace)
	}
	return most + apiStopTimeout
}

const apiStopTimeout = 2 * time.Second

func (h *Host) closeListener() error {
	if h.listener == nil {
		return nil
	}
	return h.listener.Close()
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

// Sessions lists the sessions of a pool, or of all with an empty name, sorted by id.
func (h *Host) Sessions(ctx context.Context, pool string) ([]host.SessionStatus, error) {
	return h.engine.SessionStatuses(ctx, pool)
}

// Invoke starts a call with arguments that are encoded already, and leaves its
// messages to the caller.
func (h *Host) Invoke(ctx context.Context, req host.Request) (*host.Call, error) {
	return h.engine.Open(ctx, req)
}
