package cluster

import (
	"maps"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// What the model says of nodes, owners and state.

func drawNodeCommand(rt *rapid.T, m *registryModel) *snakepitv1.RegistryCommand {
	id := rapid.SampledFrom([]string{"n1", "n2"}).Draw(rt, "node")
	term := rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(rt, "term")
	switch rapid.IntRange(0, 4).Draw(rt, "node verb") {
	case 0:
		to := rapid.SampledFrom([]Status{StatusUp, StatusDraining, StatusDown, StatusDown, StatusLeft}).Draw(rt, "status")
		return setNodeStatus(id, m.nodes[id].Incarnation, to, term)
	case 1:
		return forgetNode(id)
	}
	start := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "start")
	return registerNode(Member{ID: id, Nonce: start, MinVersion: 1, MaxVersion: rulesVersion}, term)
}

func drawOwner(rt *rapid.T, m *registryModel) Owner {
	id := rapid.SampledFrom([]string{"n1", "n2"}).Draw(rt, "owner")
	return Owner{Node: id, Incarnation: m.nodes[id].Incarnation + rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(rt, "late")}
}

func drawMove(rt *rapid.T, m *registryModel, id host.SessionID) *snakepitv1.MoveSession {
	return move(id, m.sessions[id].Epoch+rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(rt, "stale"), drawOwner(rt, m))
}

func drawChange(rt *rapid.T, values map[string]Value) *snakepitv1.StateChange {
	c := &snakepitv1.StateChange{Key: rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key")}
	if rapid.IntRange(0, 3).Draw(rt, "set") > 0 {
		c.Value = []byte(rapid.StringN(0, 3, 3).Draw(rt, "value"))
	}
	if rapid.Bool().Draw(rt, "compare") {
		c.Expected = new(values[c.GetKey()].Version + rapid.SampledFrom([]uint64{0, 0, 1}).Draw(rt, "other"))
	}
	return c
}

func (m *registryModel) up(o Owner) bool {
	n, known := m.nodes[o.Node]
	return known && n.Incarnation == o.Incarnation && n.Status == StatusUp
}

func (m *registryModel) forget(id host.SessionID) {
	delete(m.sessions, id)
	delete(m.owners, id)
	delete(m.values, id)
}

// checkNode moves the model on for a command that came with several nodes.
func (m *registryModel) checkNode(rt *rapid.T, whole *snakepitv1.RegistryCommand, epoch uint64) errdefs.Reason {
	switch c := whole.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_RegisterNode:
		return m.register(memberFromWire(c.RegisterNode.GetNode()), c.RegisterNode.GetTerm(), epoch)
	case *snakepitv1.RegistryCommand_SetNodeStatus:
		return m.status(c.SetNodeStatus)
	case *snakepitv1.RegistryCommand_ForgetNode:
		n, known := m.nodes[c.ForgetNode.GetId()]
		if known && n.serves() {
			return errdefs.Conflict
		}
		delete(m.nodes, c.ForgetNode.GetId())
		m.withdraw(c.ForgetNode.GetId())
		for worker, o := range m.claims {
			if o.Node != "" && o.Node == c.ForgetNode.GetId() {
				delete(m.processes, worker)
			}
		}
	case *snakepitv1.RegistryCommand_Rehome:
		done := map[string]bool{}
		for _, mv := range c.Rehome.GetMoves() {
			if !done[mv.GetId()] {
				m.move(rt, mv, epoch)
			}
			done[mv.GetId()] = true
		}
	case *snakepitv1.RegistryCommand_SetState:
		return m.set(c.SetState, epoch)
	default:
		return m.checkMember(whole)
	}
	return ""
}

func (m *registryModel) register(n Member, term, epoch uint64) errdefs.Reason {
	if term != 0 {
		return errdefs.NotLeader
	}
	if m.nodes[n.ID].Status == StatusLeft {
		return errdefs.NodeRemoved
	}
	n.Incarnation, n.Status = epoch, StatusUp
	if was, known := m.nodes[n.ID]; known {
		m.takeBack(was, n)
	}
	m.nodes[n.ID] = n
	return ""
}

func (m *registryModel) status(c *snakepitv1.SetNodeStatus) errdefs.Reason {
	n, known := m.nodes[c.GetId()]
	to := statusFromWire(c.GetStatus())
	switch {
	case c.GetTerm() != 0:
		return errdefs.NotLeader
	case !known:
		return errdefs.InvalidArguments
	case n.Status == StatusLeft:
		return errdefs.NodeRemoved
	case n.Status == StatusDown && to == StatusUp:
		return errdefs.Conflict
	}
	if to == StatusLeft {
		m.withdraw(n.ID)
	}
	n.Status, n.Pause = to, 0
	m.nodes[n.ID] = n
	return ""
}

// move is late, or gives the session a higher epoch, no home, and its state along.
func (m *registryModel) move(rt *rapid.T, c *snakepitv1.MoveSession, epoch uint64) {
	id := host.SessionID(c.GetId())
	s, known := m.sessions[id]
	to := Owner{Node: c.GetNode(), Incarnation: c.GetIncarnation()}
	if !known || s.Epoch != c.GetFromEpoch() || !m.up(to) || m.stays(id, to) {
		return
	}
	if epoch <= s.Epoch {
		rt.Fatalf("session %s moves from epoch %d to %d", id, s.Epoch, epoch)
	}
	s.Epoch, s.Home = epoch, ""
	m.sessions[id], m.owners[id] = s, to
	m.highest["session "+c.GetId()] = epoch
}

func (m *registryModel) set(c *snakepitv1.SetState, epoch uint64) errdefs.Reason {
	id := host.SessionID(c.GetId())
	change := c.GetChanges()[0]
	_, known := m.sessions[id]
	switch had := m.values[id][change.GetKey()].Version; {
	case !known && m.expired[id]:
		return errdefs.SessionExpired
	case !known:
		return errdefs.SessionNotFound
	case change.Expected != nil && change.GetExpected() != had:
		return errdefs.Conflict
	}
	next := maps.Clone(m.values[id])
	if next == nil {
		next = map[string]Value{}
	}
	if change.Value == nil {
		delete(next, change.GetKey())
	} else {
		next[change.GetKey()] = Value{Bytes: change.GetValue(), Version: epoch}
	}
	m.values[id] = next
	return ""
}
