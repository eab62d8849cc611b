package host

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	maxUntold  = 65_536
	recordWait = 5 * time.Second // for one record
	flushWait  = 2 * time.Second // for what's left when the host ends
	// recordAgain is how soon a registry without a majority is told again.
	recordAgain = 2 * time.Second
)

// records tells the registry which processes the workers are, for those who come
// after this host. Neither a worker's start nor its end waits for it: changes are
// kept until the registry has them, one a worker, since only the last one counts.
type records struct {
	registry ProcessRegistry // nil: nobody wants to know
	node     string
	machine  MachineID
	log      hclog.Logger
	changed  chan struct{} // has room for one: something is untold

	mu     sync.Mutex // guards all below
	untold map[WorkerID]change
}

// change is a claim, or a release where it has no record.
type change struct {
	record *ProcessRecord
}

func newRecords(cfg Config) *records {
	registry, _ := cfg.Registry.(ProcessRegistry)
	return &records{
		registry: registry,
		node:     cfg.Node,
		machine:  cfg.Machine,
		log:      cfg.Logger,
		changed:  make(chan struct{}, 1),
		untold:   map[WorkerID]change{},
	}
}

// claim notes a worker that has entered service. It doesn't block.
func (r *records) claim(worker WorkerID, pool string, process Process) {
	if r.registry == nil {
		return
	}
	r.note(worker, change{&ProcessRecord{Worker: worker, Pool: pool, Node: r.node, Process: process, Machine: r.machine}})
}

// release notes that a worker's process is gone. It doesn't block. The registry is
// told even when the claim never was: a host before this one may have claimed it.
func (r *records) release(worker WorkerID) {
	if r.registry != nil {
		r.note(worker, change{})
	}
}

func (r *records) note(worker WorkerID, c change) {
	r.mu.Lock()
	_, known := r.untold[worker]
	full := !known && len(r.untold) >= maxUntold
	if !full {
		r.untold[worker] = c
	}
	r.mu.Unlock()
	if full {
		r.log.Error("process isn't recorded: too many wait for the registry", "worker", worker, "waiting", maxUntold)
		return
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// run tells the registry of changes as they come, until ctx ends. What it can't
// tell is tried again with the next change, and where there's no majority soon.
// survivors are the workers of an earlier host that have a seat here.
func (r *records) run(ctx context.Context, survivors map[*pool][]*member) {
	for knowsNothing(r.takeStock(ctx, survivors)) {
		if !sleep(ctx, askAgain) {
			return
		}
	}
	var again <-chan time.Time
	for {
		select {
		case <-r.changed:
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		if knowsNothing(r.tell(ctx)) {
			again = time.After(recordAgain)
		}
	}
}

// takeStock notes as gone what the registry has of an earlier host under this
// one's name, and no survivor is: it's dead, or its launcher ends it. It comes
// before the first claim of this host is told.
func (r *records) takeStock(ctx context.Context, survivors map[*pool][]*member) error {
	if r.registry == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	list, err := r.registry.Processes(ctx)
	if err != nil {
		if !knowsNothing(err) {
			r.log.Warn("records of the last host's processes can't be read", "error", err)
		}
		return err
	}
	live := map[WorkerID]bool{}
	for _, members := range survivors {
		for _, m := range members {
			live[m.id] = true
		}
	}
	for _, p := range list {
		if r.own(p) && !live[p.Worker] {
			r.release(p.Worker)
		}
	}
	return nil
}

// own reports whether a record is of an earlier start of this host. Where there are
// several nodes, their ids tell: names may be the same.
func (r *records) own(p ProcessRecord) bool {
	several, ok := r.registry.(OwnerRegistry)
	if !ok || p.Owner.Node == "" {
		return p.Node == r.node
	}
	if self, _ := several.Self(); self.Node != "" {
		return p.Owner.Node == self.Node
	}
	return p.Node == r.node
}

// flush tells what is left when the last worker is gone, and gives up soon.
func (r *records) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWait)
	defer cancel()
	_ = r.tell(ctx) // it has been logged
}

// tell works through what is untold and stops at the first failure.
func (r *records) tell(ctx context.Context) error {
	batch := r.take()
	for worker, c := range batch {
		if err := r.write(ctx, worker, c); err != nil {
			r.putBack(batch)
			r.log.Warn("process isn't recorded", "worker", worker, "untold", len(batch), "error", err)
			return err
		}
		delete(batch, worker)
	}
	return nil
}

func (r *records) write(ctx context.Context, worker WorkerID, c change) error {
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	if c.record == nil {
		return r.registry.ReleaseProcess(ctx, worker)
	}
	_, err := r.registry.ClaimProcess(ctx, *c.record)
	return err
}

func (r *records) take() map[WorkerID]change {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := r.untold
	r.untold = map[WorkerID]change{}
	return batch
}

// putBack keeps what couldn't be told, but for workers of which there is news.
func (r *records) putBack(batch map[WorkerID]change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for worker, c := range batch {
		if _, newer := r.untold[worker]; !newer {
			r.untold[worker] = c
		}
	}
}
