package cluster

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// machine is what Raft applies its log to, and what local reads look at. It stops
// for good at the first entry that it doesn't know: then it changes nothing more
// and gives no snapshot, so that the entry stays in the log.
type machine struct {
	halt func(error) // told once, when it stops; it doesn't block

	mu      sync.RWMutex // guards all below
	state   *state
	stopped error
}

func newMachine(halt func(error)) *machine {
	return &machine{halt: halt, state: newState()}
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
	if err != nil {
		m.stopped = errdefs.Wrap(errdefs.ReasonOf(err), err, "the registry stops before entry %d of its log", log.Index)
		m.halt(m.stopped)
		return m.stopped
	}
	return m.state.apply(entry, log.Index)
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
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
	return nil
}

// session finds a session; the error is session_not_found or session_expired.
func (m *machine) session(id host.SessionID) (*host.Session, *errdefs.Error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.find(id)
}

func (m *machine) sessions() []*host.Session {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*host.Session, 0, len(m.state.sessions))
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
		all = append(all, *p)
	}
	return all
}

func (m *machine) generation() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.generation
}
