package cluster

import (
	"cmp"
	"slices"

	"github.com/snakepit-go/snakepit/host"
)

// lefts says where sessions lived when they last lost an owner. It's no part of the
// state: a node that was sent a snapshot since doesn't know, and nothing is lost by that
// but what was in memory.
type lefts map[host.SessionID]left

type left struct {
	host.Left

	whole bool // nobody has told that home to forget the session
}

// losses are the last starts of nodes that were lost while this machine followed the log. Of
// an earlier loss it may have missed some of the moves, and nobody must take what it has
// seen for all: a worker goes on only where all of its sessions do.
type losses map[string]uint64

// remember keeps where a session lived that its owner has just lost.
func (s *state) remember(was *sessionRow) {
	delete(s.left, was.ID)
	if incarnation, seen := s.lost[was.Owner.Node]; seen && incarnation == was.Owner.Incarnation {
		s.left[was.ID] = left{host.Left{Owner: was.Owner, Home: was.Home}, true}
	}
}

// MovedSession is a session that lives, or lived, with an owner.
type MovedSession struct {
	ID    host.SessionID
	Home  host.WorkerID // there
	Owner host.Owner    // whose it is now
}

// Moved lists the sessions that an owner has, or had when it was lost, by id; but for
// those that have lost another one since. It's read from memory.
func (n *Node) Moved(from host.Owner) []MovedSession {
	m := n.machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []MovedSession
	for id, s := range m.state.sessions {
		switch l := m.state.left[id]; from {
		case s.Owner:
			all = append(all, MovedSession{ID: id, Home: s.Home, Owner: s.Owner})
		case l.Owner:
			all = append(all, MovedSession{ID: id, Home: l.Home, Owner: s.Owner})
		}
	}
	slices.SortFunc(all, func(a, b MovedSession) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Left implements host.LeftRegistry.
func (n *Node) Left(id host.SessionID) host.Left {
	m := n.machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	row, l := m.state.sessions[id], m.state.left[id]
	if row == nil || row.Home != "" || !l.whole {
		return host.Left{}
	}
	return l.Left
}

// Lived says where a session lived before its last owner was lost, whatever has become of
// it since. It's read from memory.
func (n *Node) Lived(id host.SessionID) host.Left {
	m := n.machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.left[id].Left
}
