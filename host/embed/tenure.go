package embed

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
)

// leaseEnded is an instant of CLOCK_BOOTTIME that has surely passed: a lease that
// ends then has ended.
const leaseEnded = 1

// tenure hands on what the registry says of this node's right to own sessions: to the
// shim how long it lasts, and to the engine what it owns. It's told before there is
// an engine, and while others hold locks: so it keeps the newest, and a goroutine of
// its own passes that on.
type tenure struct {
	launcher leaseholder
	log      hclog.Logger
	wake     chan struct{} // has room for one: something is new

	mu      sync.Mutex // guards all below
	lease   cluster.Lease
	changes map[host.SessionID]host.OwnerChange // the newest of each session
	engine  owning                              // nil: there's none yet
	held    uint64                              // the incarnation that the engine owns sessions under; zero: none
}

// leaseholder freezes what is bound to a session when the lease ends.
type leaseholder interface{ SetLease(deadline int64) error }

// owning is an engine among several.
type owning interface {
	OwnerChanged(c host.OwnerChange)
	Disown()
	Room() map[string]uint32
}

// newTenure makes one that holds nothing: until the registry says otherwise,
// survivors of an earlier host stay frozen.
func newTenure(l leaseholder, log hclog.Logger) *tenure {
	return &tenure{launcher: l, log: log, wake: make(chan struct{}, 1), changes: map[host.SessionID]host.OwnerChange{}}
}

// onLease is told of each change of the lease. It doesn't block.
func (t *tenure) onLease(l cluster.Lease) {
	t.mu.Lock()
	t.lease = l
	t.mu.Unlock()
	t.nudge()
}

// onOwner is told of each session that the node begins or ceases to own.
func (t *tenure) onOwner(c host.OwnerChange) {
	t.mu.Lock()
	t.changes[c.Session.ID] = c
	t.mu.Unlock()
	t.nudge()
}

// room is for how many more sessions each pool has room; none before there's an engine.
func (t *tenure) room() map[string]uint32 {
	t.mu.Lock()
	engine := t.engine
	t.mu.Unlock()
	if engine == nil {
		return nil
	}
	return engine.Room()
}

// bind names the engine, which reads the registry from now on.
func (t *tenure) bind(engine owning) {
	t.mu.Lock()
	t.engine, t.held = engine, t.lease.Incarnation
	t.mu.Unlock()
}

func (t *tenure) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run passes on what is new, until ctx ends. It begins once the engine has taken its
// place: whatever an earlier host left would go on with the first lease.
func (t *tenure) run(ctx context.Context) {
	t.nudge()
	for {
		select {
		case <-t.wake:
			t.pass()
		case <-ctx.Done():
			return
		}
	}
}

// pass gives the engine and the shim what is new. Whoever ran a session under an
// incarnation that is gone is ended before a new lease would let it go on.
func (t *tenure) pass() {
	t.mu.Lock()
	lease, held, engine, changes := t.lease, t.held, t.engine, t.changes
	t.held, t.changes = lease.Incarnation, map[host.SessionID]host.OwnerChange{}
	t.mu.Unlock()
	lost := held != 0 && held != lease.Incarnation
	if lost {
		t.set(leaseEnded)
		t.log.Warn("this node was given up for dead: it owns its sessions no more")
		engine.Disown()
	}
	t.set(deadlineOf(lease))
	for _, c := range changes {
		engine.OwnerChanged(c)
	}
}

func (t *tenure) set(deadline int64) {
	if err := t.launcher.SetLease(deadline); err != nil {
		t.log.Error("the shim can't be told of the lease", "error", err)
	}
}

// deadlineOf is a lease as the shim wants it.
func deadlineOf(l cluster.Lease) int64 {
	switch {
	case l.Deadline == cluster.Forever:
		return 0
	case l.Deadline <= 0:
		return leaseEnded
	}
	return int64(min(l.Deadline, time.Duration(math.MaxInt64)))
}
