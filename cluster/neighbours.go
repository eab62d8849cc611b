package cluster

import (
	"github.com/snakepit-go/snakepit/host"
)

// Members are all nodes that the registry has, sorted by id. They are read from memory.
func (n *Node) Members() []Member {
	rows := n.machine.members()
	all := make([]Member, 0, len(rows))
	for _, row := range rows {
		m := *row
		m.Nonce = ""
		all = append(all, m)
	}
	return all
}

// Unverified are the processes on a machine whose start of a node isn't there any more,
// sorted by worker. What became of them is known to those on that machine, who say so by
// [Node.ReleaseProcess]. They are read from memory.
func (n *Node) Unverified(on host.MachineID) []host.ProcessRecord {
	all := n.machine.unverified(on)
	sortByWorker(all)
	return all
}

func (m *machine) unverified(on host.MachineID) (all []host.ProcessRecord) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.state.processes {
		if p.Machine.Same(on) && m.state.unverified(p) {
			record := *p
			record.Unverified = true
			all = append(all, record)
		}
	}
	return all
}
