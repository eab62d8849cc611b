package proc

// Below returns those of all that descend from root, parents before their children.
func Below(root int, all []Stat) []Stat {
	children := map[int][]Stat{}
	for _, s := range all {
		if s.PID != s.PPID && s.PID != root {
			children[s.PPID] = append(children[s.PPID], s)
		}
	}
	var below []Stat
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		below = append(below, queue[0])
		queue = append(queue, children[queue[0].PID]...)
		delete(children, queue[0].PID) // a table read in pieces may hold a ring
	}
	return below
}
