package members

import "time"

// Cluster is a cluster as one node finds it.
type Cluster struct {
	ID      string // empty: it has none yet
	Self    string // the node that tells
	Leader  string // empty: none is known
	Term    uint64
	Last    uint64 // index of the last entry in the log of the node that tells
	Commit  uint64 // up to which a majority is known to have it
	Applied uint64 // of the last entry of commands that the node has applied
	Level   uint32 // version of the registry's rules that all nodes have agreed upon
	// Generation is that of epochs, raised whenever a log is lost: what a restore of an older backup
	// must exceed.
	Generation uint64
	Tokens     int    // to join with, that are still good
	Lease      Lease  // of the node that tells
	Nodes      []Node // by name

	State    State
	Summary  string // a sentence
	Advice   string // what to do where it doesn't work; empty where it does
	Warnings []Warning
}

// State is how a cluster is, in a word.
type State string

// The states.
const (
	OK       State = "ok"
	Degraded State = "degraded"  // it works, and warnings say what's wrong
	NoLeader State = "no_leader" // a majority is there, and nobody leads it yet
	NoQuorum State = "no_quorum" // no majority of the voters answers
)

// Lease is a node's right to own sessions.
type Lease struct {
	Held    bool
	Endless bool          // the node is the only member
	Left    time.Duration // else how long it lasts unless it's renewed
}

// Node is one node of a cluster.
type Node struct {
	ID          string
	Name        string // for people
	Address     string // where other nodes reach it
	API         string // where clients reach it; empty: only on its machine
	Status      string // "up", "draining", "pausing", "down" or "left"
	Member      bool   // "left", or being added, where it isn't
	Voter       bool
	Leader      bool
	Incarnation uint64
	Sessions    uint64         // that it owns
	Answers     bool           // it answered the node that tells
	Applied     uint64         // zero: unknown
	Renewed     *time.Duration // since its lease was renewed, as the leader has it; nil: unknown
	Version     string         // of its program; empty: unknown
	Rules       uint32         // the newest version of the registry's rules that it knows
	Machine     string         // where it runs; equal where it's the same
	Unverified  int            // processes of its workers that nobody has seen end
	Disk        Disk           // under its registry
	LeaseHeld   bool           // only known of those that answered
}

// Disk is the disk under a node's registry; the zero value is one that isn't known.
type Disk struct {
	Free, Size uint64        // bytes
	Write      time.Duration // how long a write has hung by now, or took last
}

// Warning is one thing that is wrong.
type Warning struct {
	Kind string // for programs
	Node string // the id of the node that it's about; empty: the whole cluster
	Text string // what is so
	Hint string // what to do
}

// Label is what people call the node; others may be called the same.
func (n Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	return n.ID
}

// Reference is what names a node to a command: its name where no other has that, else its id.
func (c *Cluster) Reference(n Node) string {
	for _, other := range c.Nodes {
		if n.Name == "" || other.Name == n.Name && other.ID != n.ID {
			return n.ID
		}
	}
	return n.Label()
}

// serves reports whether it may own sessions, as the registry has it.
func (n Node) serves() bool {
	return n.Status == "up" || n.Status == "draining" || n.Status == "pausing"
}

// Node finds a node by its id.
func (c *Cluster) Node(id string) (Node, bool) {
	for _, n := range c.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// Lag is how many entries of commands a node is behind the furthest one; zero
// where it isn't known how far it is.
func (c *Cluster) Lag(n Node) uint64 {
	if n.Applied == 0 {
		return 0
	}
	furthest := c.Applied
	for _, other := range c.Nodes {
		furthest = max(furthest, other.Applied)
	}
	return furthest - min(n.Applied, furthest)
}
