package host

import (
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// State is how far a host has come.
type State string

// The states of a host.
const (
	StateStarting State = "starting" // not every pool has had a worker yet
	StateReady    State = "ready"
	StateDraining State = "draining" // running calls may finish; no new ones
	StateStopped  State = "stopped"
)

// Status is how a host is.
type Status struct {
	Node      string
	State     State
	StartedAt time.Time
	Pools     []PoolStatus // sorted by name
	Sessions  int          // in use on this host
	// Refused counts the calls that failed before they had a pool, and those of host tools, by reason.
	Refused map[errdefs.Reason]uint64
}

// PoolStatus is how a pool is.
type PoolStatus struct {
	Name           string
	Adapter        string
	Size           int                       // workers that it should have
	Ready          int                       // workers that can take calls
	Busy           int                       // slots that run a call, those of ended callers included
	Slots          int                       // of ready workers, busy ones included
	Queued         int                       // calls that wait, those that wait in a worker included
	Calls          uint64                    // started on a worker
	Errors         map[errdefs.Reason]uint64 // calls that ended with an error, each once
	Replaced       uint64                    // workers that took a dead one's seat
	LastStartError string                    // why the newest worker couldn't start; empty when it could
	Events         []Event                   // the latest 64, the oldest first
}

// WorkerStatus is how a worker is.
type WorkerStatus struct {
	ID        WorkerID
	Pool      string
	Node      string
	Process   Process
	State     WorkerState
	Slots     int
	Busy      int
	Calls     uint64 // started on it
	Sessions  int    // whose home it is
	RSS       uint64 // resident memory in bytes; zero when it isn't known
	StartedAt time.Time
}

// A Weigher is a worker that knows its memory.
type Weigher interface {
	// RSS is the resident memory of the worker's process in bytes; zero when it
	// can't be read.
	RSS() uint64
}

// Status tells how the host is.
func (h *Host) Status() Status {
	s := Status{
		Node: h.cfg.Node, State: h.state(), StartedAt: h.started,
		Sessions: int(h.sessions.count.Load()), Refused: h.refused.byReason(),
	}
	for _, p := range h.order {
		s.Pools = append(s.Pools, p.status())
	}
	return s
}

func (h *Host) state() State {
	select {
	case <-h.stopped:
		return StateStopped
	default:
	}
	if h.gate.stage.Load() != gateOpen {
		return StateDraining
	}
	for _, p := range h.order {
		if !p.startState().everReady {
			return StateStarting
		}
	}
	if !h.running.Load() {
		return StateStarting
	}
	return StateReady
}

func (p *pool) status() PoolStatus {
	s := PoolStatus{
		Name: p.name, Adapter: p.cfg().Command.Adapter, Size: p.cfg().Size,
		Calls: p.calls.Load(), Errors: p.fails.byReason(), Events: p.event.latest(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Ready, s.Queued, s.Replaced = p.ready, p.waiting, p.replaced
	if p.startErr != nil {
		s.LastStartError = p.startErr.Error()
	}
	for _, m := range p.members {
		if m == nil {
			continue
		}
		s.Busy += min(m.busy, m.slots)
		s.Queued += max(m.busy-m.slots, 0)
		if m.state == WorkerReady {
			s.Slots += m.slots
		}
	}
	return s
}

// Workers lists the workers of one pool, or of all with an empty name, sorted by
// pool, then by seat. A dead one stands there until it's replaced.
func (h *Host) Workers(pool string) []WorkerStatus {
	list := []WorkerStatus{}
	for _, p := range h.order {
		if pool == "" || pool == p.name {
			list = append(list, p.workers()...)
		}
	}
	return list
}

func (p *pool) workers() []WorkerStatus {
	p.mu.Lock()
	var list []WorkerStatus
	var weighers []Weigher
	for _, m := range p.members {
		if m != nil {
			w, _ := m.worker.(Weigher)
			list, weighers = append(list, m.status()), append(weighers, w)
		}
	}
	p.mu.Unlock()
	for i, w := range weighers {
		if w != nil {
			list[i].RSS = w.RSS()
		}
	}
	return list
}

func (m *member) status() WorkerStatus {
	return WorkerStatus{
		ID: m.id, Pool: m.pool.name, Node: m.pool.node, Process: m.process, State: m.state,
		Slots: m.slots, Busy: min(m.busy, m.slots), Calls: m.calls.Load(), Sessions: m.sessions, StartedAt: m.launched,
	}
}
