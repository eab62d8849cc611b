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

// look has the sign show what read says. That's asked while nobody else looks: what was read
// before a change can't take the place of what was read after it, and stay.
func (s *sign) look(read func() (id string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := read()
	if s.id == id {
		return
	}
	s.id = id
	close(s.changes)
	s.changes = make(chan struct{})
}

// follow lets Raft change the sign from now on.
func (s *sign) follow(r *raft.Raft) {
	read := func() string {
		_, id := r.LeaderWithID()
		return string(id)
	}
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if _, ok := o.Data.(raft.LeaderObservation); ok {
			s.look(read)
		}
		return false // nothing is ever sent to its channel
	}))
	s.look(read)
}
