package proc

// Tree is a process table by parent.
type Tree map[int][]Stat

// NewTree sorts a table by parent.
func NewTree(all []Stat) Tree {
	t := make(Tree, len(all))
	for _, s := range all {
		t[s.PPID] = append(t[s.PPID], s)
	}
	return t
}

// Below returns those that descend from root, parents before their children. Root
// is never among them: a table read in pieces may hold a ring.
func (t Tree) Below(root int) []Stat {
	seen := map[int]bool{root: true}
	var below []Stat
	for at, parent := 0, root; ; at++ {
		for _, s := range t[parent] {
			if !seen[s.PID] {
				seen[s.PID] = true
				below = append(below, s)
			}
		}
		if at == len(below) {
			return below
		}
		parent = below[at].PID
	}
}

// Below returns those of all that descend from root, as [Tree.Below] does.
func Below(root int, all []Stat) []Stat { return NewTree(all).Below(root) }
