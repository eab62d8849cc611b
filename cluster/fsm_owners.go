package cluster

import (
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// maxMoves is how many sessions one command may give to others.
const maxMoves = 500

// rehome gives away what it can. Moves that are late are no error: the leader looks
// again at what is left.
func (s *state) rehome(c *snakepitv1.Rehome, at position) outcome {
	if err := at.sameTerm(c.GetTerm()); err != nil {
		return refused(err)
	}
	if len(c.GetMoves()) > maxMoves {
		return refused(errdefs.New(errdefs.Internal, "%d moves in one command", len(c.GetMoves())))
	}
	seen := map[string]bool{} // two moves of one session would share an epoch
	for _, m := range c.GetMoves() {
		if !seen[m.GetId()] {
			s.rehomeSession(m, at)
		}
		seen[m.GetId()] = true
	}
	return outcome{}
}

// rehomeSession is a move that the session's owner hasn't asked for.
func (s *state) rehomeSession(c *snakepitv1.MoveSession, at position) {
	known := s.sessions[host.SessionID(c.GetId())]
	if known == nil || s.bound(known, Owner{Node: c.GetNode()}) != nil {
		return
	}
	if s.giveTo(c, at).err == nil && known.Home != "" {
		s.remember(known)
	}
}

// moveSession is a move that the session's owner asks for: its home is told to forget it.
func (s *state) moveSession(c *snakepitv1.MoveSession, at position) outcome {
	o := s.giveTo(c, at)
	if l, known := s.left[host.SessionID(c.GetId())]; known && o.err == nil {
		l.whole = false
		s.left[host.SessionID(c.GetId())] = l
	}
	return o
}

func (s *state) giveTo(c *snakepitv1.MoveSession, at position) outcome {
	known, err := s.find(host.SessionID(c.GetId()))
	if err != nil {
		return refused(err)
	}
	if known.Epoch != c.GetFromEpoch() {
		return refused(wrongEpoch(known, c.GetFromEpoch()))
	}
	to := Owner{Node: c.GetNode(), Incarnation: c.GetIncarnation()}
	if err := s.owns(to); err != nil {
		return refused(err)
	}
	moved := *known
	moved.Owner, moved.Home = to, ""
	return s.put(moved, at.epoch)
}

func wrongEpoch(known *sessionRow, from uint64) *errdefs.Error {
	return errdefs.New(errdefs.Conflict, "session %q is at epoch %d, not %d", names.Cut(string(known.ID)), known.Epoch, from)
}
