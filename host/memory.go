package host

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// maxMemoryProcesses is far more than the pools of one host have workers.
const maxMemoryProcesses = 100_000

// MemoryRegistry is a Registry, a ProcessRegistry and a StateRegistry in memory: the one of a host
// without a cluster. It is gone with its process, and safe for concurrent use.
type MemoryRegistry struct {
	max int

	mu        sync.Mutex // guards all below
	sessions  map[SessionID]Session
	states    map[SessionID]map[string]StateValue
	processes map[WorkerID]ProcessRecord
	epoch     uint64
	expired   map[SessionID]struct{}
	order     []SessionID // of expired, a ring: the oldest is at next
	next      int
}

// NewMemoryRegistry returns an empty registry for at most limit sessions (zero:
// 10,000). It remembers as many that expired.
func NewMemoryRegistry(limit int) *MemoryRegistry {
	return &MemoryRegistry{
		max:       cmp.Or(max(limit, 0), 10_000),
		sessions:  map[SessionID]Session{},
		states:    map[SessionID]map[string]StateValue{},
		processes: map[WorkerID]ProcessRecord{},
		expired:   map[SessionID]struct{}{},
	}
}

// OpenSession implements [Registry].
func (r *MemoryRegistry) OpenSession(_ context.Context, s Session) (Session, error) {
	if err := validateSessionID(s.ID); err != nil {
		return Session{}, err
	}
	if err := s.Availability.Validate(); err != nil {
		return Session{}, err
	}
	if err := s.Affinity.Validate(); err != nil {
		return Session{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.sessions[s.ID]; ok {
		return copied(known), nil
	}
	if _, ok := r.expired[s.ID]; ok {
		return Session{}, sessionExpired(s.ID)
	}
	if len(r.sessions) >= r.max {
		return Session{}, sessionQuota(r.max)
	}
	return r.put(s), nil
}

// Session implements [Registry].
func (r *MemoryRegistry) Session(_ context.Context, id SessionID) (Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(id)
}

// BindSession implements [Registry].
func (r *MemoryRegistry) BindSession(_ context.Context, id SessionID, home WorkerID, from uint64) (Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.find(id)
	if err != nil {
		return Session{}, err
	}
	if s.Epoch != from {
		return Session{}, errdefs.New(errdefs.Conflict, "session %q is at epoch %d, not %d", names.Cut(string(id)), s.Epoch, from)
	}
	s.Home = home
	return r.put(s), nil
}

// CloseSession implements [Registry].
func (r *MemoryRegistry) CloseSession(_ context.Context, id SessionID, expired bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.sessions[id]
	delete(r.sessions, id)
	delete(r.states, id)
	if known && expired {
		r.remember(id)
	}
	return nil
}

// Sessions implements [Registry].
func (r *MemoryRegistry) Sessions(context.Context) ([]Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Collect(maps.Values(r.sessions))
	for i := range all {
		all[i] = copied(all[i])
	}
	slices.SortFunc(all, func(a, b Session) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all, nil
}

// ClaimProcess implements [ProcessRegistry].
func (r *MemoryRegistry) ClaimProcess(_ context.Context, p ProcessRecord) (ProcessRecord, error) {
	if err := p.Validate(); err != nil {
		return ProcessRecord{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.processes[p.Worker]; !known && len(r.processes) >= maxMemoryProcesses {
		return ProcessRecord{}, errdefs.New(errdefs.QueueFull, "there are %d records of processes already", maxMemoryProcesses)
	}
	r.epoch++
	p.Epoch = r.epoch
	r.processes[p.Worker] = p
	return p, nil
}

// ReleaseProcess implements [ProcessRegistry].
func (r *MemoryRegistry) ReleaseProcess(_ context.Context, worker WorkerID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.processes, worker)
	return nil
}

// Processes implements [ProcessRegistry].
func (r *MemoryRegistry) Processes(context.Context) ([]ProcessRecord, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Collect(maps.Values(r.processes))
	slices.SortFunc(all, func(a, b ProcessRecord) int { return strings.Compare(string(a.Worker), string(b.Worker)) })
	return all, nil
}

// put records s under the next epoch.
func (r *MemoryRegistry) put(s Session) Session {
	r.epoch++
	s.Epoch = r.epoch
	r.sessions[s.ID] = copied(s)
	return copied(s)
}

func (r *MemoryRegistry) find(id SessionID) (Session, error) {
	if s, ok := r.sessions[id]; ok {
		return copied(s), nil
	}
	if _, ok := r.expired[id]; ok {
		return Session{}, sessionExpired(id)
	}
	return Session{}, sessionNotFound(id)
}

// remember keeps the id of a session that expired, and forgets the oldest one
// where there are too many.
func (r *MemoryRegistry) remember(id SessionID) {
	if len(r.order) < r.max {
		r.order = append(r.order, id)
	} else {
		delete(r.expired, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % r.max
	}
	r.expired[id] = struct{}{}
}

func copied(s Session) Session {
	s.Metadata = maps.Clone(s.Metadata)
	return s
}

func sessionExpired(id SessionID) error {
	e := errdefs.New(errdefs.SessionExpired, "session %q was unused for longer than its time to live", names.Cut(string(id)))
	e.Hint = "go on under a new id"
	return e
}

func sessionNotFound(id SessionID) error {
	return errdefs.New(errdefs.SessionNotFound, "no session %q", names.Cut(string(id)))
}

func sessionQuota(limit int) error {
	e := errdefs.New(errdefs.SessionQuota, "%d sessions are open already", limit)
	e.Hint = "close some, or raise max_sessions"
	return e
}
