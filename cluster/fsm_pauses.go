package cluster

import (
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// maxPause is within which time a node must be back that ends for a while.
	maxPause = 5 * time.Minute
	// maxRehomeAfter is for how long at most sessions wait for a node that is down.
	maxRehomeAfter = 24 * time.Hour
)

func (s *state) pauseNode(c *snakepitv1.PauseNode) outcome {
	if err := s.serves(c.GetId(), c.GetIncarnation()); err != nil {
		return refused(err)
	}
	within := c.GetWithin().AsDuration()
	if within < 0 || within > maxPause {
		return refused(errdefs.New(errdefs.InvalidArguments, "a node can't pause for %s, only for up to %s", within, maxPause))
	}
	m := *s.nodes[c.GetId()]
	switch {
	case within > 0:
		m.Status, m.Pause = StatusPausing, within
	case m.Status == StatusPausing:
		m.Status, m.Pause = StatusUp, 0
	}
	return s.putNode(m)
}

func (s *state) setRehomeAfter(c *snakepitv1.SetRehomeAfter, at position) outcome {
	if err := at.sameTerm(c.GetTerm()); err != nil {
		return refused(err)
	}
	if err := s.serves(c.GetId(), c.GetIncarnation()); err != nil {
		return refused(err)
	}
	m := *s.nodes[c.GetId()]
	m.RehomeAfter = c.GetAfter().AsDuration()
	return s.putNode(m)
}

// takeBack gives a node that is registered anew what nobody else can have owned
// meanwhile, under the same epochs: all that it owned when it paused, and in any
// case those sessions that never leave it. was is its former row.
func (s *state) takeBack(was *Member, now Owner) {
	if was == nil {
		return
	}
	paused := Owner{}
	if was.Status == StatusPausing {
		paused = Owner{Node: was.ID, Incarnation: was.Incarnation}
	}
	for id, known := range s.sessions {
		if known.Owner.Node != now.Node || known.Owner != paused && !known.local() {
			continue
		}
		row := *known
		row.Owner = now
		s.sessions[id] = &row
		s.watch.owner(id, known.Owner, now)
	}
}

// keepProcesses lets the records of a start be those of its new incarnation.
func (s *state) keepProcesses(was *Member, now Member) {
	if was == nil || was.Nonce == "" || was.Nonce != now.Nonce {
		return
	}
	for worker, p := range s.processes {
		if p.Owner == (Owner{Node: was.ID, Incarnation: was.Incarnation}) {
			kept := *p
			kept.Owner.Incarnation = now.Incarnation
			s.processes[worker] = &kept
		}
	}
}

// local reports whether the session never leaves a node that is a member.
func (r *sessionRow) local() bool { return r.Availability == host.AvailabilityLocal }

// bound refuses to give a session to another node that never leaves its own.
func (s *state) bound(known *sessionRow, to Owner) *errdefs.Error {
	row := s.nodes[known.Owner.Node]
	if !known.local() || to.Node == known.Owner.Node || row == nil || row.Status == StatusLeft {
		return nil
	}
	return errdefs.New(errdefs.Conflict, "session %q stays on node %q", names.Cut(string(known.ID)), row.ID)
}
