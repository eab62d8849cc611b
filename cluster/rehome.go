package cluster

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

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

// orphans lists the sessions whose owner isn't up under its incarnation, but for
// those that wait for it in any case.
func (m *machine) orphans() []orphan {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []orphan
	for _, s := range m.state.sessions {
		row := m.state.nodes[s.Owner.Node]
		if row != nil && (row.serves() && row.Incarnation == s.Owner.Incarnation || s.local() && row.Status != StatusLeft) {
			continue
		}
		all = append(all, orphan{s.ID, s.Pool, s.Epoch, s.Owner, row})
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

// heirs are the nodes on a lost owner's machine that get its sessions.
type heirs map[Owner]Owner

// choose finds who gets an orphan: the same node before one on the same machine,
// which adopts its workers and is one for all of them, before any; then whoever has most
// room. only allows the same node alone. It takes the room.
func (h heirs) choose(o orphan, only bool, candidates []candidate) (Owner, bool) {
	const same, heir, near = 3, 2, 1
	best := -1
	rank := func(c candidate) int {
		switch {
		case c.owner.Node == o.owner.Node:
			return same
		case h[o.owner] == c.owner:
			return heir
		case o.row != nil && c.machine.Same(o.row.Machine):
			return near
		}
		return 0
	}
	for i, c := range candidates {
		if c.pools[o.pool] == 0 || only && rank(c) < same {
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
	if rank(candidates[best]) == near {
		h[o.owner] = candidates[best].owner
	}
	return candidates[best].owner, true
}

// never is when to look again unless something changes.
const never = time.Duration(math.MaxInt64)

// rehome gives orphans to nodes that are up, and says when to look again: what finds
// no place, or whose move isn't sure, waits for the next look, and what its own node
// is waited for with until then.
func (o *office) rehome(ctx context.Context) (next time.Duration) {
	next = never
	orphans := o.m.n.machine.orphans()
	if len(orphans) == 0 {
		clear(o.orphaned)
		return next
	}
	candidates, now := o.candidates(), o.m.clock.Now()
	o.noteOrphans(orphans, now)
	var moves []*snakepitv1.MoveSession
	size, near := 0, heirs{}
	for _, lost := range orphans {
		until := o.patience(lost)
		to, ok := near.choose(lost, now < until || !o.over(lost), candidates)
		if ok || lost.row != nil && lost.row.serves() {
			until = now
		}
		if next = min(next, max(now, until)); !ok {
			continue
		}
		moves = append(moves, move(lost.id, lost.epoch, to))
		size += len(lost.id) + len(to.Node) + 48
		if len(moves) == maxMoves || size > maxEntry/4 {
			if !o.propose(ctx, moves) {
				return now
			}
			moves, size = nil, 0
		}
	}
	o.propose(ctx, moves)
	return next
}

// patience is until when an orphan waits for its own node, to be back and to have
// room: an earlier leader's wait counts for nothing.
func (o *office) patience(lost orphan) time.Duration {
	if lost.row == nil || lost.row.Status == StatusLeft || lost.row.RehomeAfter == 0 {
		return 0
	}
	return o.orphaned[lost.owner] + lost.row.RehomeAfter
}

// noteOrphans remembers since when there are any of each owner.
func (o *office) noteOrphans(orphans []orphan, now time.Duration) {
	before := o.orphaned
	o.orphaned = map[Owner]time.Duration{}
	for _, lost := range orphans {
		since, known := before[lost.owner]
		if !known {
			since = now
		}
		o.orphaned[lost.owner] = since
	}
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
