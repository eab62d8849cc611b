package hosttest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host"
)

// firstPID is below those of the fake workers.
const firstPID = 1000

// Launcher is a host.Launcher of workers in memory, and a host.Reattacher. Its fields are set before the
// first launch.
type Launcher struct {
	Tools []Tool // what every worker offers
	Slots int    // of every worker; zero: 1
	// Hooks are what the adapter has of them, by the capability that says so, such as
	// session_open. They see a call of a tool whose name begins with "snakepit.".
	Hooks map[string]func(ctx context.Context, call *Call) ([]byte, error)
	// Lease reports whether the host's lease holds: else no session's call starts, and
	// no worker is pinned. Nil: it has no end.
	Lease func() bool
	Deaf  bool // workers don't answer the cancel of a call that waits in them for a slot
	// OnLaunch runs at each launch, which it may fail or delay; nil: nothing. n counts from 1.
	OnLaunch func(ctx context.Context, spec host.Spec, n int) error
	// OnReattach runs at each reattaching, which it may fail or delay; nil: nothing.
	OnReattach func(ctx context.Context, spec host.Spec) error
	// OnStart runs when a call reaches a worker, which it may refuse; nil: nothing.
	OnStart func(w *Worker, inv host.Invocation) error

	// OnProbe answers a probe; nil: the workers can't be probed.
	OnProbe func(ctx context.Context, w *Worker) (time.Duration, error)
	// Weigh gives a worker's resident memory; nil: nobody knows.
	Weigh func(w *Worker) uint64
	// OnStop runs when a worker is asked to stop; an error says that it lives on. Nil: nothing.
	OnStop func(w *Worker) error

	mu      sync.Mutex // guards all below
	count   int
	workers []*Worker

	survivors map[host.WorkerID]*Worker // of the last host
	forsaken  []host.WorkerID
}

// Tool is a function that the fake workers offer.
type Tool struct {
	host.Tool
	// Run gives the result. It ends with ctx, or else with call.Killed.
	Run func(ctx context.Context, call *Call) ([]byte, error)
}

// Launch implements host.Launcher.
func (l *Launcher) Launch(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	l.mu.Lock()
	l.count++
	n := l.count
	l.mu.Unlock()
	if l.OnLaunch != nil {
		if err := l.OnLaunch(ctx, spec, n); err != nil {
			return nil, err
		}
	}
	w := newWorker(l, spec, serve, firstPID+n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = append(l.workers, w)
	if l.OnProbe != nil {
		return prober{w}, nil
	}
	return w, nil
}

// Launches says how many launches there were, failed ones included.
func (l *Launcher) Launches() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Workers gives all workers that were ever launched, in that order.
func (l *Launcher) Workers() []*Worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.workers)
}

// Live gives the workers that live.
func (l *Launcher) Live() []*Worker {
	return slices.DeleteFunc(l.Workers(), func(w *Worker) bool { return !w.alive() })
}

// Worker finds a worker by its id; nil when there is none.
func (l *Launcher) Worker(id host.WorkerID) *Worker {
	for _, w := range l.Workers() {
		if w.Spec.Worker == id {
			return w
		}
	}
	return nil
}

func (l *Launcher) holds() bool { return l.Lease == nil || l.Lease() }

func (l *Launcher) capabilities() []string { return slices.Sorted(maps.Keys(l.Hooks)) }

func (l *Launcher) find(name string) *Tool {
	if hook, ok := strings.CutPrefix(name, "snakepit.session."); ok && l.Hooks["session_"+hook] != nil {
		return &Tool{Run: l.Hooks["session_"+hook]}
	}
	for i := range l.Tools {
		if l.Tools[i].Name == name {
			return &l.Tools[i]
		}
	}
	return nil
}
