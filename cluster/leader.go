package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// sign shows who leads, as Raft on this node sees it.
type sign struct {
	mu      sync.Mutex // guards all below
	id      string     // empty: nobody, or it isn't known
	changes chan struct{}
}

func newSign() *sign { return &sign{changes: make(chan struct{})} }

// leader gives who leads, and a channel that is closed when that changes.
func (s *sign) leader() (id string, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.changes
}

func (s *sign) set(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == id {
		return
	}
	s.id = id
	close(s.changes)
	s.changes = make(chan struct{})
}

// observer lets Raft change the sign. Nothing is ever sent to its channel.
func (s *sign) observer() *raft.Observer {
	return raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if l, ok := o.Data.(raft.LeaderObservation); ok {
			s.set(string(l.LeaderID))
		}
		return false
	})
}
