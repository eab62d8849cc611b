package members_test

import (
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/members"
)

// alone is what a node of three knows by itself.
func alone(self, leader string, term uint64) members.Cluster {
	c := healthy(3)
	c.Self, c.Leader, c.Term = self, leader, term
	for i := range c.Nodes {
		c.Nodes[i].Answers, c.Nodes[i].Leader, c.Nodes[i].Applied, c.Nodes[i].LeaseHeld = false, false, 0, false
		if c.Nodes[i].ID != self {
			c.Nodes[i].Version, c.Nodes[i].Disk = "", members.Disk{}
		}
	}
	return c
}

func TestWhatEachNodeKnowsMakesAWhole(t *testing.T) {
	t.Parallel()
	c, leader, third := alone("id-2", "id-1", 4), alone("id-1", "id-1", 4), alone("id-3", "id-1", 4)
	ago := 90 * time.Millisecond
	leader.Nodes[2].Renewed = &ago
	third.Applied, third.Lease.Held, third.Nodes[2].Version = 700, false, "1.5.0"
	c.Hear(map[string]*members.Cluster{"id-1": &leader, "id-3": &third})
	third3 := c.Nodes[2]
	if third3.Applied != 700 || third3.LeaseHeld || third3.Version != "1.5.0" || third3.Renewed == nil || *third3.Renewed != ago {
		t.Errorf("%+v", third3)
	}
	if own := c.Nodes[1]; !own.Answers || own.Applied != 880 || !own.LeaseHeld || own.Leader {
		t.Errorf("%+v", own)
	}
	if n := c.Nodes[0]; !n.Leader || !n.Answers {
		t.Errorf("%+v", n)
	}
}

func TestWhoSaysThatItLeadsInTheLatestTermDoes(t *testing.T) {
	t.Parallel()
	one, two, three := alone("id-1", "id-1", 4), alone("id-2", "", 5), alone("id-3", "id-3", 5)
	for name, c := range map[string]struct {
		self    members.Cluster
		answers map[string]*members.Cluster
		want    string
	}{
		"one that was deposed still thinks so": {one, map[string]*members.Cluster{"id-2": &two, "id-3": &three}, "id-3"},
		"and says so":                          {two, map[string]*members.Cluster{"id-1": &one, "id-3": &three}, "id-3"},
		"one that isn't it any more":           {alone("id-2", "id-1", 4), map[string]*members.Cluster{"id-1": {Self: "id-1", Term: 5}}, ""},
		"one of which nothing is understood":   {alone("id-2", "id-1", 4), map[string]*members.Cluster{"id-1": nil}, "id-1"},
		"one that doesn't answer":              {alone("id-2", "id-1", 4), nil, "id-1"},
	} {
		c.self.Hear(c.answers)
		if c.self.Leader != c.want {
			t.Errorf("%s: %q leads, want %q", name, c.self.Leader, c.want)
		}
	}
}
