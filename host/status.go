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
	// Forwarded counts the calls of callers here that other nodes have started, a further
	// attempt once more.
	Forwarded uint64
}

// PoolStatus is how a pool is. Of its calls each is counted once, whatever it went
// through: Received is OK, and all of Errors, and Open.
type PoolStatus struct {
	Name           string
	Adapter        string
	Size           int // workers that it should have
	MinSize        int // between these Size follows the load; the same in a pool that is fixed
	MaxSize        int
	Ready          int // workers that can take calls
	Starting       int // workers that can't yet
	Draining       int // workers that take no more calls and haven't ended
	Busy           int // slots that run a call, those of ended callers included
	Slots          int // of ready workers, busy ones included
	Queued         int // calls that wait, those that wait in a worker included
	Received       uint64
	Open           uint64 // calls that have no answer yet: they wait, or run
	Calls          uint64 // those that were started on a worker
	OK             uint64 // those that ended with a result
	Errors         map[errdefs.Reason]uint64
	Rejected       uint64    // of Errors, those that were refused at once because too many waited
	Retried        uint64    // starts of calls on a worker beyond each one's first
	QueueTime      Histogram // of the calls that were started, and those that gave up waiting; not of those refused at once
	RunTime        Histogram // from a call's first start until its caller had the answer
	BytesIn        uint64    // arguments and chunks, from callers
	BytesOut       uint64    // chunks and results, to them
	Replaced       uint64    // workers that took another's seat
	Recycled       map[RecycleCause]uint64
	Breaker        BreakerStatus
	LastStartError string  // why the newest worker couldn't start; empty when it could
	Events         []Event // the latest 64, the oldest first
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
	Calls     uint64 // started on it; a call that was tried again elsewhere counts there too
	Errors    uint64 // of Calls, those that ended with an error
	LastError errdefs.Reason
	RunTime   time.Duration // in which its slots were taken, calls that still run not included
	Sessions  int           // whose home it is
	RSS       uint64        // resident memory in bytes; zero when it isn't known
	Devices   []string      // that it has for itself
	StartedAt time.Time
}

// A Weigher is a worker that knows its memory.
type Weigher interface {
	// RSS is the resident memory of the worker's process in bytes; zero when it
	// can't be read.
	RSS() uint64
}

// A DeviceHolder is a worker that knows which devices it has for itself.
type DeviceHolder interface {
	// Devices are the GPUs and the like that no other worker of this host is given.
	// It doesn't block.
	Devices() []string
}

// Status tells how the host is.
func (h *Host) Status() Status {
	s := Status{
		Node: h.cfg.Node, State: h.state(), StartedAt: h.started,
		Sessions: int(h.sessions.count.Load()), Refused: h.refused.byReason(), Forwarded: h.routes.forwarded(),
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
	s := p.tally.status()
	cfg := p.cfg()
	s.Name, s.Adapter = p.name, cfg.Command.Adapter
	s.MinSize, s.MaxSize = cfg.Size, cfg.Size
	if cfg.Scale.Max > 0 {
		s.MinSize, s.MaxSize = cfg.Scale.Min, cfg.Scale.Max
	}
	s.Breaker, s.Events = p.breaker.status(), p.event.latest()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Size, s.Ready, s.Queued, s.Replaced = p.want, p.ready, p.waiting, p.replaced
	if p.startErr != nil {
		s.LastStartError = p.startErr.Error()
	}
	for _, m := range p.members {
		m.addTo(&s)
	}
	return s
}

// status is what the counters say. The ends are read before the beginnings, so that
// none is missing among these.
func (t *tally) status() PoolStatus {
	s := PoolStatus{
		OK: t.ok.Load(), Errors: t.fails.byReason(), Retried: t.retried.Load(), Recycled: t.recycled.byCause(),
		RunTime: t.run.snapshot(), QueueTime: t.queue.snapshot(), Calls: t.calls.Load(),
		BytesIn: t.bytesIn.Load(), BytesOut: t.bytesOut.Load(),
	}
	s.Rejected = s.Errors[errdefs.QueueFull]
	ended := s.OK
	for _, n := range s.Errors {
		ended += n
	}
	s.Received = t.received.Load()
	s.Open = s.Received - ended
	return s
}

// addTo counts a worker and its slots; the pool's mutex is held.
func (m *member) addTo(s *PoolStatus) {
	s.Busy += min(m.busy, m.slots)
	s.Queued += max(m.busy-m.slots, 0)
	switch m.state {
	case WorkerStarting:
		s.Starting++
	case WorkerReady:
		s.Slots += m.slots
	case WorkerDraining, WorkerStopping:
		s.Draining++
	case WorkerDead:
	}
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
		w, _ := m.worker.(Weigher)
		list, weighers = append(list, m.status()), append(weighers, w)
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
	s := WorkerStatus{
		ID: m.id, Pool: m.pool.name, Node: m.pool.node, Process: m.process, State: m.state,
		Slots: m.slots, Busy: min(m.busy, m.slots), Calls: m.calls.Load(), Errors: m.stint.fails.Load(), LastError: m.stint.lastReason(),
		RunTime: time.Duration(m.stint.ran.Load()), Sessions: m.sessions, StartedAt: m.launched,
	}
	if d, ok := m.worker.(DeviceHolder); ok {
		s.Devices = d.Devices()
	}
	return s
}
