package members

// Hear adds what other nodes said when they were asked how the cluster is, by their
// ids; nil for one that answered, and says nothing that this program understands.
// Whoever isn't there didn't answer.
func (c *Cluster) Hear(answers map[string]*Cluster) {
	leads := c.Leader == c.Self
	term := c.Term
	for i := range c.Nodes {
		n := &c.Nodes[i]
		a, answered := answers[n.ID]
		if n.ID == c.Self {
			n.Answers, n.Applied, n.LeaseHeld = true, c.Applied, c.Lease.Held
			continue
		}
		if n.Answers = answered; a == nil {
			n.LeaseHeld = answered && n.serves() // as the registry has it
			continue
		}
		take(n, a)
		switch {
		case a.Leader == n.ID && (a.Term > term || !leads):
			c.Leader, term, leads = n.ID, a.Term, true
		case c.Leader == n.ID && a.Leader != n.ID:
			c.Leader = "" // it was, and says that it isn't any more
		}
	}
	c.hearLeader(answers[c.Leader])
}

// take has what a node says of itself.
func take(n *Node, a *Cluster) {
	own, _ := a.Node(n.ID)
	n.Applied, n.LeaseHeld = a.Applied, a.Lease.Held
	n.Version, n.Disk = own.Version, own.Disk
	if own.Rules > 0 {
		n.Rules = own.Rules
	}
}

// hearLeader has what only a leader knows; nil where it's this node, or said nothing.
func (c *Cluster) hearLeader(a *Cluster) {
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.Leader = n.ID == c.Leader && c.Leader != ""
		if a == nil {
			continue
		}
		if told, known := a.Node(n.ID); known && told.Renewed != nil {
			n.Renewed = told.Renewed
		}
	}
}
