package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// orphan is a session whose owner isn't there any more.
type orphan struct {
	id    host.SessionID
	pool  string
	epoch uint64
	owner Owner
	row   *Member // the owner's, as it is now; nil: forgotten
}

// orphans lists the sessions whose owner isn't up under its incarnation.
func (m *machine) orphans() []orphan {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []orphan
	for _, s := range m.state.sessions {
		row := m.state.nodes[s.Owner.Node]
		if row == nil || row.Incarnation != s.Owner.Incarnation || !row.serves() {
			all = append(all, orphan{s.ID, s.Pool, s.Epoch, s.Owner, row})
		}
	}
	slices.SortFunc(all, func(a, b orphan) int { return strings.Compare(string(a.id), string(b.id)) })
	return all
}

// candidate is a node that may get sessions.
type candidate struct {
	owner   Owner
	machine host.MachineID
	pools   map[string]uint32 // how many more of each
}

// choose finds who gets an orphan: the same node before one on the same machine,
// which may adopt its worker, before any; then whoever has most room. only allows
// the same node alone. It takes the room.
func choose(o orphan, only bool, candidates []candidate) (Owner, bool) {
	best := -1
	rank := func(c candidate) int {
		switch {
		case c.owner.Node == o.owner.Node:
			return 2
		case o.row != nil && c.machine == o.row.Machine && c.machine != (host.MachineID{}):
			return 1
		}
		return 0
	}
	for i, c := range candidates {
		if c.pools[o.pool] == 0 || only && rank(c) < 2 {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(rank(c), rank(candidates[best])), cmp.Compare(c.pools[o.pool], candidates[best].pools[o.pool])) > 0 {
			best = i
		}
	}
	if best < 0 {
		return Owner{}, false
	}
	candidates[best].pools[o.pool]--
	return candidates[best].owner, true
}

// rehome gives orphans to nodes that are up. What finds no place waits for the next
// look: more says whether there was any.
func (o *office) rehome(ctx context.Context) (more bool) {
	orphans := o.m.n.machine.orphans()
	if len(orphans) == 0 {
		return false
	}
	candidates := o.candidates()
	var moves []*snakepitv1.MoveSession
	size := 0
	for _, lost := range orphans {
		to, ok := choose(lost, !o.over(lost), candidates)
		if !ok {
			continue
		}
		moves = append(moves, move(lost.id, lost.epoch, to))
		size += len(lost.id) + len(to.Node) + 48
		if len(moves) == maxMoves || size > maxEntry/4 {
			if !o.propose(ctx, moves) {
				return true
			}
			moves, size = nil, 0
		}
	}
	o.propose(ctx, moves)
	return true
}

func (o *office) propose(ctx context.Context, moves []*snakepitv1.MoveSession) bool {
	if len(moves) == 0 {
		return true
	}
	out, err := o.m.n.proposer.propose(ctx, rehome(moves, o.term))
	return err == nil && out.err == nil
}

// over reports whether the lease has certainly ended under which a session was
// owned. One that was declared down was declared so after its end; of an incarnation that gave way
// to a new start it's known when, or else that it was before this office.
func (o *office) over(lost orphan) bool {
	if lost.owner == (Owner{}) || lost.row != nil && lost.row.Incarnation == lost.owner.Incarnation {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	end, known := o.until[lost.owner]
	if !known {
		end = o.m.n.timing.deadAt(o.since)
	}
	return o.m.clock.Now() >= end
}

// candidates lists the nodes that are up, have renewed in this term, and whose lease
// isn't about to end.
func (o *office) candidates() []candidate {
	now := o.m.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []candidate
	for _, row := range o.m.n.machine.members() {
		w := o.watched[row.ID]
		if row.Status != StatusUp || w == nil || w.incarnation != row.Incarnation || w.condemned || !w.heard || now > w.deadAt-o.m.n.timing.of(leaseGrace+leaseTTL/2) {
			continue
		}
		all = append(all, candidate{Owner{Node: row.ID, Incarnation: row.Incarnation}, row.Machine, maps.Clone(w.pools)})
	}
	return all
}
