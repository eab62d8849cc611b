package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spread is how many sessions each of some nodes has, in one pool.
type spread struct {
	free, local []int    // by node
	room        []uint32 // nil: enough
}

func (s spread) nodes() (nodes []NodeRoom, records []Session) {
	for i := range s.free {
		n := NodeRoom{Owner: Owner{Node: fmt.Sprint("n", i), Incarnation: uint64(i) + 1}, Pools: map[string]uint32{"main": 1000}}
		if s.room != nil {
			n.Pools["main"] = s.room[i]
		}
		nodes = append(nodes, n)
		for j := range s.free[i] + s.local[i] {
			r := Session{ID: SessionID(fmt.Sprintf("s%d-%d", i, j)), Pool: "main", Owner: n.Owner, Home: "w"}
			if j >= s.free[i] {
				r.Availability = AvailabilityLocal
			}
			records = append(records, r)
		}
	}
	return nodes, records
}

// after is how many each node has once all have moved.
func (s spread) after(t *testing.T, b Balance) []int {
	t.Helper()
	nodes, records := s.nodes()
	at := map[SessionID]Session{}
	for _, r := range records {
		at[r.ID] = r
	}
	for _, shift := range b.Shifts {
		r := at[shift.Session]
		if r.Owner != shift.From || r.local() || shift.From == shift.To {
			t.Errorf("%+v moves %+v", shift, r)
		}
		r.Owner = shift.To
		at[r.ID] = r
	}
	counts := make([]int, len(nodes))
	for _, r := range at {
		counts[slices.IndexFunc(nodes, func(n NodeRoom) bool { return n.Owner == r.Owner })]++
	}
	return counts
}

func TestSessionsAreEvenedOutWithTheFewestMoves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spread

		moves int
		after []int
		kept  []Kept
	}{
		"all on one":               {spread{free: []int{9, 0, 0}, local: []int{0, 0, 0}}, 6, []int{3, 3, 3}, nil},
		"even but for one":         {spread{free: []int{3, 2, 3}, local: []int{0, 0, 0}}, 0, []int{3, 2, 3}, nil},
		"one node":                 {spread{free: []int{5}, local: []int{0}}, 0, []int{5}, nil},
		"nothing":                  {spread{free: []int{0, 0}, local: []int{0, 0}}, 0, []int{0, 0}, nil},
		"some never leave":         {spread{free: []int{3, 0}, local: []int{3, 0}}, 3, []int{3, 3}, nil},
		"too many never leave":     {spread{free: []int{0, 4, 0}, local: []int{8, 0, 0}}, 2, []int{8, 2, 2}, []Kept{{Pool: "main", Node: "n0", Sessions: 4}}},
		"the others are full":      {spread{free: []int{6, 0, 0}, local: []int{0, 0, 0}, room: []uint32{9, 0, 1}}, 1, []int{5, 0, 1}, []Kept{{Pool: "main", Node: "n0", Sessions: 3, NoRoom: true}}},
		"a full one gives as well": {spread{free: []int{6, 0}, local: []int{0, 0}, room: []uint32{0, 9}}, 3, []int{3, 3}, nil},
	} {
		nodes, records := c.nodes()
		b := balanceOf(records, "", nodes)
		if len(b.Shifts) != c.moves {
			t.Errorf("%s: %d moves, want %d", name, len(b.Shifts), c.moves)
		}
		if diff := cmp.Diff(c.spread.after(t, b), c.after); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
		if diff := cmp.Diff(b.Kept, c.kept); diff != "" {
			t.Errorf("%s keeps (-got +want):\n%s", name, diff)
		}
	}
}

func TestEvenedOutSessionsDifferByOneAtMostHoweverTheyLay(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		var s spread
		total := 0
		for range 1 + r.IntN(6) {
			s.free, s.local = append(s.free, r.IntN(20)), append(s.local, 0)
			total += s.free[len(s.free)-1]
		}
		nodes, records := s.nodes()
		b := balanceOf(records, "main", nodes)
		counts := s.after(t, b)
		if slices.Max(counts)-slices.Min(counts) > 1 || len(b.Kept) > 0 {
			t.Errorf("seed %d: %v became %v", seed, s.free, counts)
		}
		least := 0 // those above the share have to move, whoever gets them
		for _, n := range s.free {
			least += max(0, n-(total+len(s.free)-1)/len(s.free))
		}
		most := 0
		for _, n := range s.free {
			most += max(0, n-total/len(s.free))
		}
		if len(b.Shifts) < least || len(b.Shifts) > most {
			t.Errorf("seed %d: %v took %d moves, want %d to %d", seed, s.free, len(b.Shifts), least, most)
		}
	}
}

func TestEachPoolIsEvenOverTheNodesThatHaveIt(t *testing.T) {
	t.Parallel()
	one, two, three := Owner{"n1", 1}, Owner{"n2", 2}, Owner{"n3", 3}
	nodes := []NodeRoom{{one, map[string]uint32{"a": 3, "b": 3}}, {two, map[string]uint32{"a": 3, "b": 3}}, {three, map[string]uint32{"a": 9}}}
	var records []Session
	for i := range 6 {
		records = append(records, Session{ID: SessionID(fmt.Sprint("a", i)), Pool: "a", Owner: one}, Session{ID: SessionID(fmt.Sprint("b", i)), Pool: "b", Owner: one})
	}
	stray := Session{ID: "x", Pool: "a", Owner: Owner{"n4", 4}} // of a node that takes no part
	earlier := Session{ID: "y", Pool: "a", Owner: Owner{"n1", 0}}
	records = append(records, stray, earlier)
	b := balanceOf(records, "", nodes)
	got := map[string]int{}
	for _, s := range b.Shifts {
		got[s.Pool+" "+s.From.Node+s.To.Node]++
	}
	want := map[string]int{"a n1n2": 2, "a n1n3": 2, "b n1n2": 1} // n2's room is for all of its pools
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Kept{{Pool: "b", Node: "n1", Sessions: 2, NoRoom: true}}, b.Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if only := balanceOf(records, "b", nodes); len(only.Shifts) != 3 || only.Shifts[0].Pool != "b" {
		t.Errorf("of one pool: %+v", only.Shifts)
	}
}

func TestSessionsWithoutAHomeMoveFirst(t *testing.T) {
	t.Parallel()
	nodes, records := spread{free: []int{4, 0}, local: []int{0, 0}}.nodes()
	records[1].Home, records[3].Home = "", ""
	b := balanceOf(records, "", nodes)
	if len(b.Shifts) != 2 || b.Shifts[0].Session != "s0-1" || b.Shifts[1].Session != "s0-3" {
		t.Errorf("%+v", b.Shifts)
	}
}
