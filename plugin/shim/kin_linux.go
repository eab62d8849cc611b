package shim

import (
	"os"
	"slices"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// table is one reading of the processes, and whose they are.
type table struct {
	shim   *shim
	tree   proc.Tree
	strays map[*child][]proc.Stat
}

// look reads the process table. Whoever was seen below a worker once is remembered
// as its own: when its parents have ended, it may have no other sign of it.
func (s *shim) look() (*table, error) {
	all, err := whole()
	if err != nil {
		return nil, err
	}
	t := &table{shim: s, tree: proc.NewTree(all), strays: map[*child][]proc.Stat{}}
	for _, p := range t.tree[os.Getpid()] {
		t.claim(p)
	}
	kin := map[proc.ID]*child{}
	for _, c := range s.byPID {
		for _, p := range t.of(c) {
			kin[p.ID] = c
		}
	}
	s.kin = kin
	return t, nil
}

// claim finds whose a stray is. One that is just ending has no environment any more:
// then its children are asked, who will be strays next.
func (t *table) claim(p proc.Stat) {
	if t.shim.byPID[p.PID] != nil {
		return
	}
	if c := t.shim.ownerOf(p); c != nil {
		t.strays[c] = append(t.strays[c], p)
		return
	}
	for _, below := range t.tree.Below(p.PID) {
		if c := t.shim.ownerOf(below); c != nil {
			t.strays[c] = append(t.strays[c], below)
		}
	}
}

// whole reads the process table until nobody in it has lost a parent meanwhile: such
// a one hangs below nobody. It's tried a few times, on a system that is never still.
func whole() (all []proc.Stat, err error) {
	const tries = 4
	for range tries {
		if all, err = proc.All(); err != nil || !torn(all) {
			break
		}
	}
	return all, err
}

func torn(all []proc.Stat) bool {
	there := make(map[int]bool, len(all))
	for _, p := range all {
		there[p.PID] = true
	}
	return slices.ContainsFunc(all, func(p proc.Stat) bool { return p.PPID != 0 && !there[p.PPID] })
}

// ownerOf finds whose descendant a stray is, a child of ours that no worker leads:
// the one that it was seen below, or whose session it's in, or whose token it carries.
func (s *shim) ownerOf(p proc.Stat) *child {
	if c := s.kin[p.ID]; c != nil && c.exit == nil {
		return c
	}
	if c := s.byPID[p.Session]; c != nil {
		return c
	}
	token := proc.Getenv(p.PID, tokenVariable)
	for _, c := range s.byPID {
		if token != "" && c.token == token {
			return c
		}
	}
	return nil
}

// of are the processes below a worker, parents first, with those that left it.
func (t *table) of(c *child) []proc.Stat {
	below := t.tree.Below(c.pid)
	for _, p := range t.strays[c] {
		below = append(append(below, p), t.tree.Below(p.PID)...)
	}
	return below
}
