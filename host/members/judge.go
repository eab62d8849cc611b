package members

import (
	"cmp"
	"slices"
	"strings"
)

// maxLag is how many entries of commands a node may be behind and still vote.
const maxLag = 1024

// Judge says how the cluster is: it sets State, Summary and Warnings, and sorts the nodes.
func (c *Cluster) Judge() {
	slices.SortFunc(c.Nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Label(), b.Label()), strings.Compare(a.ID, b.ID))
	})
	v := c.voting()
	c.Warnings = c.warnings(v)
	switch {
	case v.answering < v.majority():
		c.State, c.Summary = NoQuorum, c.noQuorum(v)
		c.Warnings = slices.DeleteFunc(c.Warnings, func(w Warning) bool { return w.Kind == Unreachable || w.Kind == NoSpare }) // the summary has it
	case !c.led():
		c.State, c.Summary = NoLeader, c.noLeader(v)
	case len(c.Warnings) > 0:
		c.State, c.Summary = Degraded, c.works(v)
	default:
		c.State, c.Summary = OK, c.works(v)
	}
}

// rank puts nodes that have left last.
func rank(n Node) int {
	if n.Member {
		return 0
	}
	return 1
}

// voting is who votes, and who of them is there.
type voting struct {
	voters    []Node
	answering int
}

func (v voting) majority() int { return len(v.voters)/2 + 1 }

// spare is how many voters that are there may be lost.
func (v voting) spare() int { return v.answering - v.majority() }

func (c *Cluster) voting() voting {
	var v voting
	for _, n := range c.Nodes {
		if !n.Member || !n.Voter {
			continue
		}
		v.voters = append(v.voters, n)
		if n.Answers {
			v.answering++
		}
	}
	return v
}

// led reports whether the leader is known, and there.
func (c *Cluster) led() bool {
	leader, known := c.Node(c.Leader)
	return known && leader.Answers
}

// members are all but those that have left.
func (c *Cluster) members() []Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n Node) bool { return !n.Member })
}

// label is what people call a node.
func (c *Cluster) label(id string) string {
	if n, ok := c.Node(id); ok {
		return n.Label()
	}
	return id
}
