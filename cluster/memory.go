package cluster

import "github.com/hashicorp/raft"

// memory has in place of a directory what a node must find again when it starts
// anew in the same process.
type memory struct {
	identity  identity
	logs      logs
	snapshots *raft.InmemSnapshotStore
}

func newMemory() *memory {
	return &memory{identity: identity{ID: newUUID()}, logs: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
}

// open gives what is there, as a disk.
func (m *memory) open() *disk {
	return &disk{memory: m, identity: m.identity, logs: m.logs, snapshots: m.snapshots}
}
