package cluster

import "time"

// Renewals says how long ago each node's lease was renewed, as the leader has it;
// nil where this node isn't that. Who hasn't renewed in this leader's term, or may not any
// more, is left out.
func (n *Node) Renewals() map[string]time.Duration {
	if n.mesh == nil {
		return nil
	}
	o := n.mesh.office.Load()
	if o == nil {
		return nil
	}
	return o.renewals()
}

func (o *office) renewals() map[string]time.Duration {
	now := o.m.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]time.Duration{}
	for id, w := range o.watched {
		if w.heard && !w.condemned {
			all[id] = max(now-(w.deadAt-o.m.n.timing.deadAt(0)), 0)
		}
	}
	return all
}

// LeaseLeft is how long this node's lease lasts unless it's renewed: zero without one,
// [Forever] for a host that is no node of several, or the only one.
func (n *Node) LeaseLeft() time.Duration {
	l := n.Lease()
	if l.Deadline == Forever {
		return Forever
	}
	return max(l.Deadline-n.cfg.Clock.Now(), 0)
}
