package cluster

// Addresses says where the members are, by id, as far as it's known here. Those that
// have left aren't among them.
func (n *Node) Addresses() map[string]string {
	all := map[string]string{}
	for _, row := range n.machine.members() {
		if row.Status != StatusLeft {
			all[row.ID] = n.addressOf(row)
		}
	}
	return all
}

// API says where clients reach a member; empty for one that isn't known, or that they
// don't reach.
func (n *Node) API(id string) string {
	if row := n.machine.member(id); row != nil && row.Status != StatusLeft {
		return row.API
	}
	return ""
}

func (n *Node) addressOf(row *Member) string {
	if n.mesh == nil {
		return row.Address
	}
	if known := n.mesh.address(row.ID); known != "" {
		return known
	}
	return row.Address
}

// Removed reports whether a node was a member once and has left for good, as far as
// it's known here.
func (n *Node) Removed(id string) bool {
	row := n.machine.member(id)
	return row != nil && row.Status == StatusLeft
}
