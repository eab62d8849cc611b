package cluster

import (
	"github.com/hashicorp/raft"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// moved gives the addresses of nodes that registered after the newest snapshot, by
// their ids: a start applies these entries only once somebody leads, for which it
// must find the others. Raft's own configuration has the addresses at which they
// once joined. That some of these entries may never be committed is no matter.
func (d *disk) moved() map[string]string {
	last, err := d.logs.LastIndex()
	if err != nil {
		return nil
	}
	all := map[string]string{}
	for i := d.covered() + 1; i <= last; i++ {
		var entry raft.Log
		if d.logs.GetLog(i, &entry) != nil || entry.Type != raft.LogCommand {
			continue
		}
		if e, err := decodeEntry(entry.Data); err == nil {
			noteMoves(all, e)
		}
	}
	return all
}

func noteMoves(all map[string]string, e *snakepitv1.RegistryEntry) {
	for _, c := range e.GetCommands() {
		if node := c.GetRegisterNode().GetNode(); node != nil {
			all[node.GetId()] = node.GetClusterAddress()
		}
	}
}

// covered is the index up to which the newest snapshot has everything.
func (d *disk) covered() uint64 {
	list, err := d.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[0].Index
}
