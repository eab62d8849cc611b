package shim

import (
	"os"

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
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	t := &table{shim: s, tree: proc.NewTree(all), strays: map[*child][]proc.Stat{}}
	for _, p := range t.tree[os.Getpid()] {
		if s.byPID[p.PID] == nil && !p.Dead() {
			if c := s.ownerOf(p); c != nil {
				t.strays[c] = append(t.strays[c], p)
			}
		}
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
