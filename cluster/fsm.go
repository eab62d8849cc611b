package cluster

import (
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// machine is what Raft applies its log to, and what local reads look at. It stops
// for good at the first entry that it doesn't know: then it changes nothing more
// and gives no snapshot, so that the entry stays in the log.
type machine struct {
	halt  func(error) // told once, when it stops; it doesn't block
	knows uint32      // the highest version of the rules that it follows

	mu      sync.RWMutex // guards all below
	state   *state
	stopped error
	waiting map[chan struct{}]uint64 // for an entry of that index

	offered atomic.Pointer[offered] // what nodeTools found last
}

func newMachine(halt func(error)) *machine {
	return &machine{halt: halt, knows: rulesVersion, state: newState(), waiting: map[chan struct{}]uint64{}}
}

// Apply implements [raft.FSM]. It gives the outcomes of the entry's commands, or
// the error that stopped the machine.
func (m *machine) Apply(log *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped != nil {
		return m.stopped
	}
	entry, err := decodeEntry(log.Data)
	if err == nil {
		err = knownTo(m.knows, entry.GetVersion())
	}
	if err != nil {
		m.stopped = errdefs.Wrap(errdefs.ReasonOf(err), err, "the registry stops before entry %d of its log", log.Index)
		m.halt(m.stopped)
		return m.stopped
	}
	outcomes := m.state.apply(entry, log.Index, log.Term)
	m.arrived()
	return outcomes
}

// arrived tells those who waited for what is there now.
func (m *machine) arrived() {
	for there, index := range m.waiting {
		if index <= m.state.index {
			close(there)
			delete(m.waiting, there)
		}
	}
}

// reached returns a channel that is closed once the entry at an index is applied,
// and what ends the wait before that.
func (m *machine) reached(index uint64) (there chan struct{}, leave func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	there = make(chan struct{})
	if m.state.index >= index {
		close(there)
		return there, func() {}
	}
	m.waiting[there] = index
	return there, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.waiting, there)
	}
}

// Snapshot implements [raft.FSM].
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.stopped != nil {
		return nil, m.stopped
	}
	return &snapshot{m.state.clone()}, nil
}

// Restore implements [raft.FSM]. Where it fails, nothing has changed.
func (m *machine) Restore(source io.ReadCloser) error {
	s, err := readSnapshot(source)
	if err == nil {
		err = knownTo(m.knows, s.level())
	}
	if errdefs.ReasonOf(err) == errdefs.VersionMismatch {
		m.halt(err) // Raft would ask for it again, and not say why
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.watch, s.overridden, s.catalogue = m.state.watch, m.state.overridden, m.state.catalogue+1
	m.state = s
	m.arrived()
	s.watch.everything()
	signal(s.overridden)
	return nil
}

// session finds a session; the error is session_not_found or session_expired.
func (m *machine) session(id host.SessionID) (*sessionRow, *errdefs.Error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.find(id)
}

func (m *machine) sessions() []*sessionRow {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*sessionRow, 0, len(m.state.sessions))
	for _, s := range m.state.sessions {
		all = append(all, s)
	}
	return all
}

func (m *machine) processes() []host.ProcessRecord {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]host.ProcessRecord, 0, len(m.state.processes))
	for _, p := range m.state.processes {
		record := *p
		record.Unverified = m.state.unverified(p)
		all = append(all, record)
	}
	return all
}

// process finds a record; nil: there is none.
func (m *machine) process(worker host.WorkerID) *host.ProcessRecord {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.processes[worker]
}

func (m *machine) generation() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.generation
}

// index is that of the last entry of commands that was applied.
func (m *machine) index() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.index
}

// level is the version of the rules that all nodes know; cluster is the cluster's
// id, empty while it has none.
func (m *machine) level() (level uint32, cluster string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.level(), m.state.cluster
}

// member finds a node; nil: there is none.
func (m *machine) member(id string) *Member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.nodes[id]
}

// members lists all nodes, sorted by id.
func (m *machine) members() []*Member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Member, 0, len(m.state.nodes))
	for _, id := range slices.Sorted(maps.Keys(m.state.nodes)) {
		all = append(all, m.state.nodes[id])
	}
	return all
}
