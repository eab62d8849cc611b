package cluster

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// maxNodes is how many nodes may be recorded, those included that have left.
const maxNodes = 64

func (s *state) registerNode(c *snakepitv1.RegisterNode, at position) outcome {
	if err := at.sameTerm(c.GetTerm()); err != nil {
		return refused(err)
	}
	m := memberFromWire(c.GetNode())
	known := s.nodes[m.ID]
	switch {
	case known != nil && known.Status == StatusLeft:
		return refused(nodeRemoved(m.ID))
	case known == nil && len(s.nodes) >= maxNodes:
		e := errdefs.New(errdefs.QueueFull, "%d nodes are known already", maxNodes)
		e.Hint = "forget those that have left"
		return refused(e)
	case m.MaxVersion < s.level() || m.MinVersion > s.level():
		return refused(wrongLevel(m.ID, m.MinVersion, m.MaxVersion, s.level()))
	}
	if known != nil && known.serves() {
		s.lost[m.ID] = known.Incarnation
	}
	m.Status, m.Incarnation, m.Pause = StatusUp, at.epoch, 0
	if known != nil && (known.Nonce == "" || known.Nonce != m.Nonce) {
		s.withdraw(m.ID) // a new start says what it offers
	}
	s.takeBack(known, Owner{Node: m.ID, Incarnation: m.Incarnation})
	s.keepProcesses(known, m)
	return s.putNode(m)
}

func (s *state) setNodeStatus(c *snakepitv1.SetNodeStatus, at position) outcome {
	if err := at.sameTerm(c.GetTerm()); err != nil {
		return refused(err)
	}
	known := s.nodes[c.GetId()]
	to := statusFromWire(c.GetStatus())
	switch {
	case known == nil:
		return refused(noNode(c.GetId()))
	case known.Incarnation != c.GetIncarnation():
		return refused(errdefs.New(errdefs.Conflict, "node %q is at incarnation %d, not %d", names.Cut(c.GetId()), known.Incarnation, c.GetIncarnation()))
	case known.Status == StatusLeft:
		return refused(nodeRemoved(known.ID))
	case to == "" || to == StatusPausing || to == StatusUp && known.Status == StatusDown:
		return refused(errdefs.New(errdefs.Conflict, "node %q is %s, and can't become %q without being registered", names.Cut(c.GetId()), known.Status, to))
	}
	if to == StatusLeft {
		s.withdraw(known.ID)
	}
	m := *known
	if m.serves() && (to == StatusDown || to == StatusLeft) {
		s.lost[m.ID] = m.Incarnation
	}
	m.Status, m.Pause = to, 0
	return s.putNode(m)
}

func (s *state) forgetNode(c *snakepitv1.ForgetNode) outcome {
	known := s.nodes[c.GetId()]
	if known != nil && known.serves() {
		return refused(errdefs.New(errdefs.Conflict, "node %q is %s", names.Cut(c.GetId()), known.Status))
	}
	delete(s.nodes, c.GetId())
	delete(s.lost, c.GetId())
	s.withdraw(c.GetId())
	s.forgetProcesses(c.GetId())
	s.catalogue++
	s.watch.nodes()
	return outcome{}
}

func (s *state) setFeatureLevel(c *snakepitv1.SetFeatureLevel, at position) outcome {
	if err := at.sameTerm(c.GetTerm()); err != nil {
		return refused(err)
	}
	for _, m := range s.nodes {
		if m.Status != StatusLeft && m.MaxVersion < c.GetLevel() {
			return refused(errdefs.New(errdefs.VersionMismatch, "not all nodes know version %d of the registry's rules", c.GetLevel()))
		}
	}
	s.raised = max(s.raised, c.GetLevel())
	if s.cluster == "" {
		s.cluster = c.GetCluster()
	}
	return outcome{}
}

func (s *state) putNode(m Member) outcome {
	s.nodes[m.ID] = &m
	s.catalogue++
	s.watch.nodes()
	return outcome{node: &m}
}

// level is the version of the rules that all nodes know.
func (s *state) level() uint32 { return max(1, s.raised) }

// owns refuses an owner that isn't up, or not any more. A host that is no node is
// never asked.
func (s *state) owns(o Owner) *errdefs.Error {
	known := s.nodes[o.Node]
	if known != nil && known.Incarnation == o.Incarnation && known.Status == StatusUp {
		return nil
	}
	return errdefs.New(errdefs.Fenced, "node %q under incarnation %d may own nothing", names.Cut(o.Node), o.Incarnation)
}

func noNode(id string) *errdefs.Error {
	return errdefs.New(errdefs.InvalidArguments, "no node %q", names.Cut(id))
}

func nodeRemoved(id string) *errdefs.Error {
	e := errdefs.New(errdefs.NodeRemoved, "node %q was removed from the cluster", names.Cut(id))
	e.Hint = "move its directory away, and let it join as a new one"
	return e
}

func wrongLevel(id string, from, to, level uint32) *errdefs.Error {
	e := errdefs.New(errdefs.VersionMismatch, "node %q knows versions %d to %d of the registry's rules, and the cluster is at %d", names.Cut(id), from, to, level)
	e.Hint = "start a program of the cluster's version there"
	return e
}
