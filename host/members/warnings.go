package members

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The kinds of warnings. Programs may rely on them; there may be more of them later.
const (
	NodeDown    = "node_down"   // its lease has ended
	Unreachable = "unreachable" // it's up, and doesn't answer the node that tells
	NoLease     = "no_lease"    // it's there, and may own no session
	Draining    = "draining"    // it gets no new sessions
	Behind      = "behind"      // it can't keep up with the log
	DiskLow     = "disk_low"    // there's hardly room for the registry
	DiskSlow    = "disk_slow"   // writes to it hang
	Unverified  = "unverified"  // processes that may still run
	TwoNodes    = "two_nodes"   // one of them can't be lost
	EvenVoters  = "even_voters" // more of them, and none more may be lost
	VersionMix  = "version_mix" // an upgrade isn't finished
	OneMachine  = "one_machine" // most voters are lost with it
	NoSpare     = "no_spare"    // the next loss ends the majority
)

const (
	lowDisk  = 256 << 20              // bytes: what a registry of any size may take, twice
	slowDisk = 200 * time.Millisecond // a write takes longer than this: leases are in danger
)

func (c *Cluster) warnings(v voting) []Warning {
	var all []Warning
	for _, n := range c.Nodes {
		all = append(all, c.aboutNode(n)...)
	}
	all = append(all, c.aboutVoters(v)...)
	all = append(all, c.aboutVersions()...)
	return append(all, c.aboutMachines(v)...)
}

// aboutNode lists what is wrong with one node. Of one that is gone nothing else is
// worth saying.
func (c *Cluster) aboutNode(n Node) []Warning {
	var all []Warning
	warn := func(kind, text, hint string) { all = append(all, Warning{kind, n.ID, n.Label() + " " + text, hint}) }
	if n.Unverified > 0 {
		warn(Unverified, "has left "+processes(n.Unverified)+" that nobody has seen end",
			"start a host on its machine, which ends them; or, once that machine is off for certain: `snakepit cluster forget "+n.Label()+"`")
	}
	switch {
	case !n.Member:
		return all
	case n.Status == "down":
		warn(NodeDown, "is down"+vote(n), "start it again; when it's lost for good: `snakepit cluster remove "+n.Label()+"`")
		return all
	case !n.Answers:
		warn(Unreachable, "doesn't answer "+c.label(c.Self)+", and isn't known to be down"+vote(n), "look at the network between them, and whether it runs at "+n.Address)
		return all
	case n.Status == "draining":
		warn(Draining, "drains: it gets no new sessions", "nothing, while it's about to stop; else start it again")
	}
	if !n.LeaseHeld && c.led() {
		warn(NoLease, "has no lease, and serves no session", "it gets one when it reaches "+c.label(c.Leader)+"; if it stays so, look at the network between them and at its log")
	}
	if lag := c.Lag(n); lag > maxLag {
		warn(Behind, fmt.Sprintf("is %d entries behind, and can't take over", lag), "it catches up by itself; if it doesn't, look at its disk and network")
	}
	return append(all, aboutDisk(n)...)
}

// vote reminds of one that counts even when it's gone.
func vote(n Node) string {
	if n.Voter {
		return ", and its vote still counts"
	}
	return ""
}

func aboutDisk(n Node) []Warning {
	var all []Warning
	if d := n.Disk; d.Size > 0 && d.Free < lowDisk {
		all = append(all, Warning{DiskLow, n.ID, n.Label() + " has " + size(d.Free) + " left on the disk of its registry", "make room: it ends with disk_full when there is none"})
	}
	if d := n.Disk; d.Write > slowDisk {
		all = append(all, Warning{DiskSlow, n.ID, n.Label() + "'s disk takes " + span(d.Write) + " for a write", "if it leads: `snakepit cluster transfer`; then look at the disk, or what else uses it"})
	}
	return all
}

func (c *Cluster) aboutVoters(v voting) []Warning {
	switch all := c.members(); {
	case len(all) == 2:
		return []Warning{{TwoNodes, "", "two nodes can't outvote each other: one of them votes, and must not be lost", "add a third: `snakepit cluster token`, then `snakepit serve --join` there"}}
	case len(v.voters) > 0 && len(v.voters)%2 == 0:
		return []Warning{{EvenVoters, "", fmt.Sprintf("%d nodes vote, and survive the loss of no more than %d would", len(v.voters), len(v.voters)-1), "nothing for a minute: the leader makes them an odd number; else a node that isn't well keeps it from that"}}
	case len(v.voters) > 1 && v.spare() == 0:
		return []Warning{{NoSpare, "", "every voter that answers is needed: the loss of another one stops all sessions", "bring a node back, or add one, before anything else"}}
	}
	return nil
}

// aboutVersions says which nodes run which program, where they differ.
func (c *Cluster) aboutVersions() []Warning {
	by := map[string][]string{}
	for _, n := range c.members() {
		if n.Version != "" {
			by[n.Version] = append(by[n.Version], n.Label())
		}
	}
	if len(by) < 2 {
		return nil
	}
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, list(by[version], "and")+" run"+third(len(by[version]))+" "+version)
	}
	return []Warning{{VersionMix, "", strings.Join(parts, ", "), fmt.Sprintf("finish the upgrade: until then the registry stays at version %d of its rules", c.Level)}}
}

// third is the ending of a verb of one.
func third(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

// aboutMachines says where the loss of one machine is that of the majority.
func (c *Cluster) aboutMachines(v voting) []Warning {
	by := map[string][]string{}
	for _, n := range v.voters {
		if n.Machine != "" {
			by[n.Machine] = append(by[n.Machine], n.Label())
		}
	}
	for _, machine := range slices.Sorted(maps.Keys(by)) {
		if on := by[machine]; len(on) > 1 && len(v.voters)-len(on) < v.majority() {
			return []Warning{{OneMachine, "", list(on, "and") + " run on one machine: its loss is the loss of the majority", "fine for a test; else put each on a machine of its own"}}
		}
	}
	return nil
}
