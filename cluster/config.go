package cluster

import (
	"cmp"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Config says where a node keeps its registry. Only Dir must be set.
type Config struct {
	// Dir has the registry's files; it's made when it isn't there. It belongs to
	// one node: the caller sees to it that no other process uses it.
	Dir         string
	Node        string       // the host's name in logs and errors; empty: "local"
	MaxSessions int          // open at once; zero: 10,000; at most 1,000,000
	Logger      hclog.Logger // nil: silent

	// Transport lets other nodes join; nil: this is the only one, and listens nowhere.
	Transport *Transport
	// Join names a cluster to become a member of where there's no registry yet; nil:
	// a new one begins. It's looked at again when no member can be found where it was.
	Join *Join
	// Token is what a new node must show to join here, or else one of those that were
	// added to the registry; empty: nothing.
	Token   string
	API     string         // where clients reach this host, for the others; empty: nowhere
	Machine host.MachineID // where this host runs; nodes of one machine may adopt each other's workers
	Process host.Process   // this host's own
	// Pools says for how many more sessions each pool has room; nil: for none. A node
	// without room is given no session of a node that is down. It mustn't block.
	Pools func() map[string]uint32
	// OnLease is told of each change of the node's lease, in order. It mustn't block,
	// nor call the node.
	OnLease func(Lease)
	// OnOwner is told of each session that this node begins or ceases to own, from one
	// goroutine; changes in quick succession may come as one.
	OnOwner func(OwnerChange)
	// RehomeAfter is how long the sessions of this node wait for it when it's down,
	// before others get them; at most 24 h.
	RehomeAfter time.Duration
	// OnOverrides is told what pools are configured as on all nodes, knobs by pool, at
	// the start where there is any, and when it has changed, from one goroutine. It
	// mustn't close the node.
	OnOverrides func(map[string]map[string]string)
	// MaxRules is up to which version of the registry's rules this node goes along;
	// zero: all that the program knows. It's for trying out an upgrade.
	MaxRules uint32
	// Timing says how soon others are missed, for the network between the nodes and the
	// machines that they run on: "lan", also when empty; "slow" waits three times as long, for
	// machines that stall; "wan" six times. All nodes of a cluster must have the same:
	// one that has another isn't let in. To change it, stop all of them first.
	Timing string
	// Background has Open return while a node of several has nobody yet who leads it:
	// see [Node.Ready].
	Background bool
	// Gone reports whether a process of this machine has verifiably ended. A start of this node
	// needn't wait then until nobody takes its last one for alive. nil: that's never known.
	Gone func(host.Process) bool
	// Clock stamps leases; nil: CLOCK_BOOTTIME where there is one.
	Clock Clock

	memory *memory // instead of Dir
}

const mostSessions = 1_000_000

func (c Config) withDefaults() Config {
	c.Node = cmp.Or(c.Node, "local")
	c.MaxSessions = cmp.Or(c.MaxSessions, 10_000)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	c.MaxRules = cmp.Or(c.MaxRules, rulesVersion)
	if c.Clock == nil {
		c.Clock = newClock()
	}
	return c
}

func (c Config) validate() error {
	if c.Dir == "" && c.memory == nil {
		return errdefs.New(errdefs.InvalidConfig, "the registry has no directory")
	}
	if c.MaxSessions < 0 || c.MaxSessions > mostSessions {
		return errdefs.New(errdefs.InvalidConfig, "MaxSessions %d isn't 0 to %d", c.MaxSessions, mostSessions)
	}
	if c.RehomeAfter < 0 || c.RehomeAfter > maxRehomeAfter {
		return errdefs.New(errdefs.InvalidConfig, "RehomeAfter %s isn't 0 to %s", c.RehomeAfter, maxRehomeAfter)
	}
	if c.MaxRules > rulesVersion {
		return errdefs.New(errdefs.InvalidConfig, "MaxRules %d is more than the %d that this program knows", c.MaxRules, rulesVersion)
	}
	if c.Join != nil && (c.Transport == nil || len(c.Join.Addresses) == 0) {
		return errdefs.New(errdefs.InvalidConfig, "joining a cluster needs a transport and the address of a member")
	}
	if _, err := timingOf(c.Timing); err != nil {
		return err
	}
	return c.Transport.validate()
}
