package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// Host runs pools of workers and the calls to them.
type Host struct {
	cfg       Config
	log       hclog.Logger
	instance  string // tells this host's worker and call ids from those of any other
	pools     map[string]*pool
	order     []*pool // sorted by name
	tools     *hostTools
	sessions  *sessions
	partings  chan struct{} // bounds how many homes are told at once that a session has left them
	records   *records
	routes    *routes // nil: there's only this node
	offering  *offering
	refused   failures // calls that never found a pool
	adoptions adoptions
	deadlines // for calls that bring none
	newest    atomic.Uint64
	workers   atomic.Uint64
	started   time.Time
	epoch     time.Time // where the host's clock begins: before started, so that it never says zero

	reconfiguring chan struct{} // filled by who changes the pools

	running  atomic.Bool
	leaving  atomic.Bool // the workers are to outlive the host
	gate     *gate
	seated   chan struct{} // closed when what an earlier host left is in its place
	stopping chan struct{} // closed when running calls must end
	stopped  chan struct{} // closed when Run returns
	work     sync.WaitGroup
}

// New makes a host; nothing runs before [Host.Run]. It fails with
// invalid_config, which names everything that's wrong at once.
func New(cfg Config) (*Host, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Registry == nil {
		cfg.Registry = NewMemoryRegistry(cfg.MaxSessions)
	}
	h := &Host{
		cfg:       cfg,
		log:       cfg.Logger,
		instance:  newInstance(),
		pools:     map[string]*pool{},
		tools:     newHostTools(cfg.HostToolLimit, cfg.Logger),
		partings:  make(chan struct{}, maxParting),
		records:   newRecords(cfg),
		deadlines: newDeadlines(cfg),
		started:   time.Now(),
		refused:   newFailures(),
		adoptions: adoptions{by: map[Owner]*adoption{}},
		epoch:     time.Now().Add(-1),
		gate:      newGate(),

		reconfiguring: make(chan struct{}, 1),
		seated:        make(chan struct{}),
		stopping:      make(chan struct{}),
		stopped:       make(chan struct{}),
	}
	h.adoptions.rejoin = h.rejoin
	h.sessions = newSessions(h)
	h.offerState()
	for _, p := range cfg.Pools {
		h.pools[p.Name] = newPool(p, cfg.Node, cfg.Events, cfg.Logger)
		h.order = append(h.order, h.pools[p.Name])
	}
	slices.SortFunc(h.order, func(a, b *pool) int { return strings.Compare(a.name, b.name) })
	h.joinOthers()
	for _, p := range h.order {
		p.lapsed = h.sessions.lapsed
	}
	return h, nil
}

// newInstance is random, so that ids are never used twice, not even by the next
// host on the same machine.
func newInstance() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Run starts the workers and keeps every pool at its size until ctx ends. Then
// new calls are refused with draining, those under way (and what they call in
// turn) may finish for ShutdownTimeout, what's left is cancelled, and, at most
// CancelGrace later, every worker is stopped. It returns once no goroutine and no process of the host is
// left; the error names a worker that couldn't be stopped. A host runs once.
//
// A host tool that a Go caller runs is a goroutine of the host, and Run waits for
// it as well: it must return soon after its context ends.
func (h *Host) Run(ctx context.Context) error {
	if h.running.Swap(true) {
		return errdefs.New(errdefs.Conflict, "a host runs only once")
	}
	defer close(h.stopped)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var seats errgroup.Group
	left := h.seatSurvivors()
	err := h.restoreSessions(ctx)
	if err != nil && (h.routes == nil || !knowsNothing(err)) {
		h.giveUp()
		return err
	}
	close(h.seated)
	if err != nil {
		h.work.Go(func() { h.restoreLater(life) })
	}
	h.startWorkers(life, &seats, left)
	h.work.Go(func() { h.sessions.sweep(life, h.sweepEvery()) })
	h.work.Go(func() { h.records.run(life, left) })
	h.work.Go(func() { h.offering.run(life) })

	<-ctx.Done()
	h.drain(ctx)
	end()
	if err := seats.Wait(); err != nil {
		return err // what waits for that worker would wait for ever
	}
	h.gate.wait(context.WithoutCancel(ctx))
	h.work.Wait()
	h.records.flush(ctx)
	return nil
}

// giveUp refuses whoever waits for a host that never came to run. The survivors stay
// the launcher's.
func (h *Host) giveUp() {
	h.gate.shut(gateClosed)
	for _, p := range h.order {
		p.close()
	}
}

func (h *Host) startWorkers(life context.Context, group *errgroup.Group, left map[*pool][]*member) {
	s := &seats{
		launcher: h.cfg.Launcher,
		serve:    h,
		records:  h.records,
		launches: &launches{limit: h.cfg.LaunchLimit},
		newID:    h.newWorkerID,
		leaving:  &h.leaving,
	}
	for _, p := range h.order {
		group.Go(func() error { p.govern(life, group, left[p], s); return nil })
	}
}

// drain lets running calls finish for a while, then cancels them and gives their
// tools the grace that any cancel gives.
func (h *Host) drain(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	h.gate.shut(gateDraining)
	patience := h.cfg.ShutdownTimeout
	if h.leaving.Load() {
		patience = h.cfg.LeaveWait
	}
	if !h.gate.waitFor(ctx, patience) {
		h.log.Warn("calls are cut short", "calls", h.gate.inside.Load(), "after", patience)
	}
	h.gate.shut(gateClosed)
	var grace time.Duration
	for _, p := range h.order {
		p.close()
		grace = max(grace, p.cfg().CancelGrace)
	}
	close(h.stopping)
	h.gate.waitFor(ctx, grace)
}

// Leave makes the end of Run leave those workers alive that can go on without the
// host: calls under way may finish for LeaveWait, and the next host finds the
// workers with what they hold in memory. It's called before Run's context ends.
func (h *Host) Leave() { h.leaving.Store(true) }

// Seated is closed once Run has put what an earlier host left into its place:
// workers into their seats, sessions into the table. A call that comes before may
// take a session's worker for dead.
func (h *Host) Seated() <-chan struct{} { return h.seated }

// sweepEvery is a quarter of the shortest time to live, within bounds.
func (h *Host) sweepEvery() time.Duration {
	every := sweepAtMost
	for _, p := range h.order {
		if ttl := p.cfg().SessionTTL; ttl > 0 {
			every = min(every, ttl/4)
		}
	}
	return max(every, sweepLeast)
}

// Ready blocks until every pool has all its workers. It returns start_failed at
// once when a pool can't start its first, with what its worker said, and
// pool_starting or cancelled when ctx ends first.
func (h *Host) Ready(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range h.order {
		group.Go(func() error { return p.awaitWorkers(ctx, 0) })
	}
	return group.Wait()
}

// ReadyPool blocks until n workers of a pool are ready, or with zero all that it
// should have. It fails as Ready does, and with pool_not_found.
func (h *Host) ReadyPool(ctx context.Context, pool string, n int) error {
	p := h.pools[pool]
	if p == nil {
		return h.poolNotFound(pool)
	}
	return p.awaitWorkers(ctx, n)
}

// Offer makes a function callable as a host tool, until remove is called. It
// fails with exists when the name is taken, invalid_tool_name and
// invalid_arguments. Where a pool has a tool of the same name, calls that don't
// name the pool get the host's.
func (h *Host) Offer(tool HostTool) (remove func(), err error) {
	return h.tools.offer(tool)
}

// ServeTool implements [ToolServer]: it runs a host tool for a worker, on another node
// when this one has none of the name. Only exposed ones are there; what is called with the function's context shares its
// deadline and may run while the host drains.
func (h *Host) ServeTool(ctx context.Context, from WorkerID, inv Invocation) ([]byte, error) {
	ctx, cancel := until(ctx, inv.Deadline)
	defer cancel()
	result, err := h.serveTool(ctx, h.descent(from, inv), inv)
	if err != nil {
		return nil, locate(err, errdefs.Where{
			Node: h.cfg.Node, Worker: string(from), Session: string(inv.Session), Tool: names.Cut(inv.Tool), Call: inv.ID,
		})
	}
	return result, nil
}

// CloseSession ends a session once the calls that came before have ended; its id
// may be used again. One that isn't there, or has expired, is no error. It blocks
// for at most queue_timeout; among several nodes also while nobody answers for the
// session, for at most call_timeout.
func (h *Host) CloseSession(ctx context.Context, id SessionID) error {
	if err := validateSessionID(id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.CallTimeout)
	defer cancel()
	if h.routes != nil {
		return h.closed(id, h.routes.closeSession(ctx, id))
	}
	return h.closed(id, h.sessions.close(ctx, id))
}

// closed says where the closing of a session failed.
func (h *Host) closed(id SessionID, err error) error {
	if err == nil {
		return nil
	}
	return locate(err, errdefs.Where{Node: h.cfg.Node, Session: string(id)})
}

// Sessions lists what the registry knows, sorted by id.
func (h *Host) Sessions(ctx context.Context) ([]Session, error) {
	return h.cfg.Registry.Sessions(ctx)
}

func (h *Host) newWorkerID(pool string) WorkerID {
	return WorkerID(pool + "-" + h.instance + "-" + strconv.FormatUint(h.workers.Add(1), 10))
}

func (h *Host) newCallID() string {
	return h.instance + "-" + strconv.FormatUint(h.newest.Add(1), 10)
}
