//go:build integration && linux

package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
)

// crowded is three nodes, called n1, n2 and n3, the first of which has all sessions.
func crowded(t *testing.T, p *place, sessions int) (nodes []*member, ids []string) {
	t.Helper()
	for i := range 3 {
		name := fmt.Sprint("n", i+1)
		at := seat{address: "127.0.0.1:0", machine: name, adapter: p.adapter(t, "node.py") + ":Notes", more: []string{"--set", "node=" + name}}
		nodes = append(nodes, p.memberOn(t, name, at, nodes...))
	}
	for i := range sessions {
		ids = append(ids, fmt.Sprintf("s%02d", i))
		p.on(t, nodes[0].Address, ids[i], "note", "word=a")
	}
	return nodes, ids
}

// counts are how many sessions each node has, by name.
func (p *place) counts(t *testing.T, asked string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, n := range p.clusterOn(t, asked).Nodes {
		all[n.Name] = n.Sessions
	}
	return all
}

// caller calls sessions one after the other until it's stopped, and counts the notes of each.
type caller struct {
	ids   []string
	notes []int
	stop  atomic.Bool
}

func (c *caller) run(t *testing.T, through string) {
	t.Helper()
	sp, err := client.Dial(t.Context(), through)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = sp.Close() }()
	for i := 0; !c.stop.Load(); i = (i + 1) % len(c.ids) {
		if err := sp.Call(t.Context(), "note", map[string]string{"word": "b"}, nil, snakepit.Session(c.ids[i])); err != nil {
			t.Errorf("a call of session %s failed: %v", c.ids[i], err)
			return
		}
		c.notes[i]++
	}
}

// TestSessionsAreEvenedOutUnderLoadWithWhatTheirWorkersHold moves sessions of one node
// to the two others while they're called.
func TestSessionsAreEvenedOutUnderLoadWithWhatTheirWorkersHold(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	nodes, ids := crowded(t, p, 12)
	p.must(t, "call", "--host", nodes[0].Address, "--session", "tied", "--availability", "local", "note", "word=a")
	if text := p.must(t, "cluster", "rebalance", "--dry-run", "--host", nodes[2].Address); !strings.HasSuffix(text, "\n8 sessions would move\n") || strings.Contains(text, "tied") {
		t.Errorf("dry run: %s", text)
	}
	calling := caller{ids: ids, notes: make([]int, len(ids))}
	var running sync.WaitGroup
	running.Go(func() { calling.run(t, nodes[2].Address) })
	text := p.must(t, "cluster", "rebalance", "--host", nodes[1].Address)
	calling.stop.Store(true)
	running.Wait()
	if text != "8 sessions moved\n" {
		t.Errorf("rebalance: %s", text)
	}
	if got := fmt.Sprint(p.counts(t, "n1")); got != "map[n1:5 n2:4 n3:4]" {
		t.Errorf("nodes have %s", got)
	}
	restored := 0
	for i, id := range ids {
		got := p.on(t, nodes[1].Address, id, "read")
		if want := append([]string{"a"}, slices.Repeat([]string{"b"}, calling.notes[i])...); !slices.Equal(got.Memory, want) || !slices.Equal(got.State, want) {
			t.Errorf("session %s: %+v, want %v", id, got, want)
		}
		if got.Restored {
			restored++
		}
	}
	if restored != 8 {
		t.Errorf("%d sessions were restored elsewhere", restored)
	}
	if text := p.must(t, "cluster", "rebalance", "--host", nodes[0].Address); text != "0 sessions moved: they are even already\n" {
		t.Errorf("again: %s", text)
	}
}

func TestSessionMovesToTheNodeThatAnOperatorNames(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	nodes, _ := crowded(t, p, 1)
	p.must(t, "call", "--host", nodes[0].Address, "--session", "tied", "--availability", "local", "note", "word=a")
	move := func(asked int, session, to string) outcome {
		return p.run(t, "sessions", "move", session, to, "--host", nodes[asked].Address)
	}
	for i, step := range []struct{ to, want string }{
		{"n3", "moved session=s00 from=n1 to=n3\n"}, {"n3", "already there session=s00 node=n3\n"}, {nodes[1].ID, "moved session=s00 from=n3 to=n2\n"},
	} {
		if o := move(1, "s00", step.to); o.code != 0 || o.stdout != step.want {
			t.Errorf("%d: %d %s%s", i, o.code, o.stdout, o.stderr)
		}
	}
	if got := p.on(t, nodes[0].Address, "s00", "note", "word=b"); !slices.Equal(got.Memory, []string{"a", "b"}) || !got.Restored {
		t.Errorf("after two moves: %+v", got)
	}
	for session, want := range map[string]string{"tied": "never leaves", "none": "session_not_found"} {
		if o := move(2, session, "n2"); o.code != 1 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %d %s%s", session, o.code, o.stdout, o.stderr)
		}
	}
	if o := move(2, "s00", "n9"); o.code != 1 || !strings.Contains(o.stderr, "no node is called") {
		t.Errorf("an unknown node: %d %s%s", o.code, o.stdout, o.stderr)
	}
}
