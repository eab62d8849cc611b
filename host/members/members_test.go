package members_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host/members"
)

var update = flag.Bool("update", false, "rewrite testdata/verdicts.txt")

// healthy is a cluster of n nodes, the first of which leads and tells.
func healthy(n int) members.Cluster {
	c := members.Cluster{ID: "c", Self: "id-1", Leader: "id-1", Term: 4, Last: 900, Commit: 900, Applied: 880, Level: 3, Generation: 2, Lease: members.Lease{Held: true, Left: 800 * time.Millisecond}}
	voters := map[int]int{1: 1, 2: 1, 3: 3, 4: 3}[n]
	if voters == 0 {
		voters = 5
	}
	for i := range n {
		c.Nodes = append(c.Nodes, members.Node{
			ID: fmt.Sprintf("id-%d", i+1), Name: fmt.Sprintf("n%d", i+1), Address: fmt.Sprintf("10.0.0.%d:7070", i+1), Status: "up", Member: true,
			Voter: i < voters, Leader: i == 0, Answers: true, Applied: 880, Version: "1.4.0", Rules: 3, Machine: fmt.Sprint("m", i), LeaseHeld: true,
			Disk: members.Disk{Free: 100 << 30, Size: 200 << 30, Write: time.Millisecond},
		})
	}
	return c
}

// gone makes nodes silent; down ones are known to be.
func gone(c *members.Cluster, down bool, which ...int) {
	for _, i := range which {
		c.Nodes[i-1].Answers, c.Nodes[i-1].LeaseHeld = false, false
		if down {
			c.Nodes[i-1].Status = "down"
		}
	}
}

type scene struct {
	name string
	n    int
	make func(*members.Cluster)
}

func scenes() []scene {
	none := func(*members.Cluster) {}
	return []scene{
		{"one node", 1, none},
		{"two nodes", 2, none},
		{"two nodes, the one without a vote is down", 2, func(c *members.Cluster) { gone(c, true, 2) }},
		{"three nodes", 3, none},
		{"three nodes, one is down", 3, func(c *members.Cluster) { gone(c, true, 3) }},
		{"three nodes, one doesn't answer", 3, func(c *members.Cluster) { gone(c, false, 2) }},
		{"three nodes, two are gone, just now", 3, func(c *members.Cluster) {
			gone(c, false, 2, 3)
			c.Leader = ""
		}},
		{"three nodes, two are gone", 3, func(c *members.Cluster) {
			gone(c, false, 2, 3)
			c.Leader, c.Lease = "", members.Lease{}
		}},
		{"two nodes, the one that votes is gone", 2, func(c *members.Cluster) {
			c.Self, c.Leader, c.Lease = "id-2", "", members.Lease{}
			gone(c, false, 1)
		}},
		{"three nodes that elect one", 3, func(c *members.Cluster) { c.Leader, c.Lease = "", members.Lease{} }},
		{"three nodes whose leader has just died", 3, func(c *members.Cluster) {
			c.Self = "id-2"
			gone(c, false, 1)
		}},
		{"four nodes", 4, none},
		{"four nodes, all of which vote", 4, func(c *members.Cluster) { c.Nodes[3].Voter = true }},
		{"five nodes", 5, none},
		{"five nodes, two are down", 5, func(c *members.Cluster) { gone(c, true, 4, 5) }},
		{"five nodes, three are gone", 5, func(c *members.Cluster) {
			gone(c, false, 3, 4, 5)
			c.Leader, c.Lease = "", members.Lease{}
		}},
		{"an upgrade half way", 3, func(c *members.Cluster) { c.Nodes[2].Version, c.Nodes[2].Rules = "1.5.0", 4 }},
		{"one is behind", 3, func(c *members.Cluster) { c.Applied, c.Nodes[0].Applied, c.Nodes[1].Applied = 9000, 9000, 9000 }},
		{"one drains, one has no lease", 3, func(c *members.Cluster) { c.Nodes[1].Status, c.Nodes[2].LeaseHeld = "draining", false }},
		{"one is being started anew", 3, func(c *members.Cluster) {
			gone(c, false, 2)
			c.Nodes[1].Status = "pausing"
		}},
		{"disks", 3, func(c *members.Cluster) { c.Nodes[1].Disk.Free, c.Nodes[2].Disk.Write = 12<<20, 3*time.Second }},
		{"all on one machine", 3, func(c *members.Cluster) {
			for i := range c.Nodes {
				c.Nodes[i].Machine = "m"
			}
		}},
		{"one has left, and its processes weren't seen to end", 3, func(c *members.Cluster) {
			c.Nodes = append(c.Nodes, members.Node{ID: "id-0", Name: "n0", Status: "left", Unverified: 2}, members.Node{ID: "id-9", Name: "n9", Status: "left"})
		}},
	}
}

func TestVerdictsAreAsRecorded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, s := range scenes() {
		c := healthy(s.n)
		s.make(&c)
		c.Judge()
		fmt.Fprintf(&b, "## %s\n%s: %s\n", s.name, c.State, c.Summary)
		if c.Advice != "" {
			fmt.Fprintf(&b, "  do: %s\n", c.Advice)
		}
		for _, w := range c.Warnings {
			fmt.Fprintf(&b, "  %s %s: %s\n    do: %s\n", w.Kind, w.Node, w.Text, w.Hint)
		}
		b.WriteString("\n")
	}
	path := filepath.Join("testdata", "verdicts.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("rewrite it with: go test ./host/members -update (-want +got):\n%s", diff)
	}
}

// A verdict that calms an operator when most voters are gone would be the worst
// that this package could do: so every way to lose them is tried.
func TestNoQuorumIsSaidExactlyWhereNoMajorityAnswers(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 6; n++ {
		for lost := range 1 << n {
			c := healthy(n)
			voters, left := 0, 0
			for i := range n {
				if lost&(1<<i) != 0 {
					gone(&c, false, i+1)
				}
				if c.Nodes[i].Voter {
					voters++
					if c.Nodes[i].Answers {
						left++
					}
				}
			}
			c.Judge()
			if none := left <= voters/2; none != (c.State == members.NoQuorum) {
				t.Errorf("%d nodes, lost %b: %s", n, lost, c.Summary)
			}
			if (c.State == members.OK || c.State == members.Degraded) && !c.Nodes[0].Answers {
				t.Errorf("%d nodes, lost %b, the leader with them: %s", n, lost, c.Summary)
			}
		}
	}
}

func TestWhatIsSurvivedIsTheVotersThatCanBeSpared(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{3: "the loss of one", 4: "the loss of one", 5: "the loss of two", 6: "the loss of two"} {
		c := healthy(n)
		c.Judge()
		if !strings.HasSuffix(c.Summary, want) {
			t.Errorf("%d nodes: %s", n, c.Summary)
		}
	}
}

func TestClusterTravelsWhole(t *testing.T) {
	t.Parallel()
	c := healthy(3)
	renewed := 120 * time.Millisecond
	c.Nodes[1].Renewed, c.Nodes[1].Incarnation, c.Nodes[1].Sessions, c.Nodes[1].API, c.Nodes[2].Unverified = &renewed, 77, 5, "10.0.0.2:7070", 3
	c.Tokens, c.Lease.Endless = 2, true
	gone(&c, true, 3)
	c.Judge()
	if diff := cmp.Diff(c, members.FromWire(members.ToWire(c))); diff != "" {
		t.Error(diff)
	}
}

func TestNonsenseFromAnotherVersionDoesNoHarm(t *testing.T) {
	t.Parallel()
	c := members.FromWire(nil)
	c.Judge()
	if c.State != members.NoQuorum || c.Summary == "" {
		t.Errorf("%+v", c)
	}
}
