package cluster

import (
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// book knows where nodes are: as they said themselves when they started, which is
// the newest, else as the registry has it. Raft has addresses of its own, from when
// a node became a member: they are the last resort.
type book struct {
	machine *machine
	self    string   // this node
	own     string   // where it is
	seeds   []string // where somebody is

	mu         sync.Mutex // guards all below
	introduced map[string]introduction
}

// introduction is what a node said of itself.
type introduction struct {
	address     string
	incarnation uint64 // that the registry had then: a later registration is newer
}

func newBook(m *machine, self, own string, join *Join) *book {
	b := &book{machine: m, self: self, own: own, introduced: map[string]introduction{}}
	if join != nil {
		b.seeds = join.Addresses
	}
	return b
}

// note keeps what a node said of itself.
func (b *book) note(id, address string) {
	if id == "" || address == "" || len(id)+len(address) > 1024 {
		return
	}
	incarnation := uint64(0)
	if m := b.machine.member(id); m != nil {
		incarnation = m.Incarnation
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.introduced[id]; known || len(b.introduced) < maxNodes {
		b.introduced[id] = introduction{address, incarnation}
	}
}

// ServerAddr implements [raft.ServerAddressProvider].
func (b *book) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if address := b.address(string(id)); address != "" {
		return raft.ServerAddress(address), nil
	}
	return "", noNode(string(id))
}

// address is where a node is; empty: it isn't known.
func (b *book) address(id string) string {
	if id == b.self {
		return b.own
	}
	row := b.machine.member(id)
	b.mu.Lock()
	said, ok := b.introduced[id]
	b.mu.Unlock()
	switch {
	case ok && (row == nil || row.Incarnation == said.incarnation):
		return said.address
	case row != nil:
		return row.Address
	}
	return ""
}

// at finds who is at an address; empty: it isn't known.
func (b *book) at(address string) string {
	b.mu.Lock()
	ids := slices.Collect(maps.Keys(b.introduced))
	b.mu.Unlock()
	for _, m := range b.machine.members() {
		ids = append(ids, m.ID)
	}
	for _, id := range append(ids, b.self) {
		if b.address(id) == address {
			return id
		}
	}
	return ""
}

// everybody lists all addresses at which somebody may be, those of members first,
// but not our own.
func (b *book) everybody(configured []raft.Server) []string {
	var all []string
	add := func(address string) {
		if address != "" && address != b.own && !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	b.mu.Lock()
	ids := slices.Sorted(maps.Keys(b.introduced))
	b.mu.Unlock()
	for _, id := range ids {
		add(b.address(id))
	}
	for _, m := range b.machine.members() {
		if m.Status != StatusLeft {
			add(b.address(m.ID))
		}
	}
	for _, address := range b.seeds {
		add(address)
	}
	for _, s := range configured {
		add(string(s.Address))
	}
	return all
}

// unreachable is a node that nobody knows the address of.
func unreachable(id string) error {
	return errdefs.New(errdefs.HostUnreachable, "nobody knows where node %q is", id)
}
