package host

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// Balance is what it takes to have the sessions of each pool even: so that no node has
// more than one above another.
type Balance struct {
	Shifts  []Shift // in the order in which they're begun
	Kept    []Kept
	LeftOut []LeftOut
}

// Shift is a session that moves.
type Shift struct {
	Session  SessionID
	Pool     string
	From, To Owner
}

// Kept is sessions that a node has above its share of a pool's, and keeps.
type Kept struct {
	Pool     string
	Node     string
	Sessions int
	NoRoom   bool // no other node has room for them; else they never leave it
}

// LeftOut is a node that takes no part.
type LeftOut struct {
	Node string
	Why  string
}

// Balance finds the fewest moves that have the sessions of a pool even over those nodes
// that have it, or the sessions of each pool with an empty name.
func (h *Host) Balance(ctx context.Context, pool string, nodes []NodeRoom) (Balance, error) {
	if err := h.current(ctx); err != nil {
		return Balance{}, err
	}
	records, err := h.cfg.Registry.Sessions(ctx)
	if err != nil {
		return Balance{}, err
	}
	return balanceOf(records, pool, nodes), nil
}

func balanceOf(records []Session, pool string, nodes []NodeRoom) Balance {
	pools := map[string]bool{}
	for _, n := range nodes {
		for name := range n.Pools {
			pools[name] = pools[name] || pool == "" || pool == name
		}
	}
	by := map[string][]Session{}
	for _, r := range records {
		by[r.Pool] = append(by[r.Pool], r)
	}
	var b Balance
	taken := map[Owner]uint32{} // of the room that is for all of a node's pools
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		if pools[name] {
			newScales(name, nodes, by[name], taken).even(&b)
		}
	}
	return b
}

// scales are the nodes that have a pool.
type scales struct {
	pool  string
	pans  []*pan
	taken map[Owner]uint32
}

// pan is what one of them has of the pool's sessions.
type pan struct {
	owner   Owner
	room    uint32
	count   int
	movable []Session
}

func newScales(pool string, nodes []NodeRoom, records []Session, taken map[Owner]uint32) *scales {
	s := &scales{pool: pool, taken: taken}
	by := map[Owner]*pan{}
	for _, n := range nodes {
		if room, has := n.Pools[pool]; has {
			by[n.Owner] = &pan{owner: n.Owner, room: room}
			s.pans = append(s.pans, by[n.Owner])
		}
	}
	for _, r := range records {
		p := by[r.Owner]
		if p == nil {
			continue // its node takes no part
		}
		if p.count++; !r.local() {
			p.movable = append(p.movable, r)
		}
	}
	slices.SortFunc(s.pans, func(a, b *pan) int { return strings.Compare(a.owner.Node, b.owner.Node) })
	for _, p := range s.pans { // those without a home go first: nothing of them is in a worker's memory
		slices.SortStableFunc(p.movable, func(a, b Session) int { return cmp.Compare(len(a.Home), len(b.Home)) })
	}
	return s
}

// even takes from whoever has most and gives to whoever has least, as long as that makes
// them more even.
func (s *scales) even(b *Balance) {
	for {
		from := s.most(func(p *pan) (int, bool) { return p.count, len(p.movable) > 0 })
		to := s.most(func(p *pan) (int, bool) { return -p.count, p.room > s.taken[p.owner] })
		if from == nil || to == nil || from.count-to.count < 2 {
			break
		}
		moved := from.movable[0]
		from.movable = from.movable[1:]
		from.count, to.count = from.count-1, to.count+1
		s.taken[to.owner]++
		b.Shifts = append(b.Shifts, Shift{Session: moved.ID, Pool: s.pool, From: from.owner, To: to.owner})
	}
	b.Kept = append(b.Kept, s.kept()...)
}

// most is the first pan of those that count which has most; nil: none counts.
func (s *scales) most(weigh func(*pan) (weight int, counts bool)) (best *pan) {
	most := 0
	for _, p := range s.pans {
		if w, counts := weigh(p); counts && (best == nil || w > most) {
			best, most = p, w
		}
	}
	return best
}

// kept is what is above a node's share after all that could be done.
func (s *scales) kept() (all []Kept) {
	if len(s.pans) == 0 {
		return nil
	}
	total := 0
	for _, p := range s.pans {
		total += p.count
	}
	share := (total + len(s.pans) - 1) / len(s.pans)
	for _, p := range s.pans {
		if p.count > share {
			all = append(all, Kept{Pool: s.pool, Node: p.owner.Node, Sessions: p.count - share, NoRoom: len(p.movable) > 0})
		}
	}
	return all
}
