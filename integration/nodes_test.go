//go:build integration && linux

package integration_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// member is a running host that is a node of a cluster.
type member struct {
	*server
	place *place

	ID      string `json:"node_id"`
	Address string `json:"cluster_address"`
	PID     int    `json:"pid"`
}

// member starts a host as a node, with folders of its own.
func (p *place) member(t *testing.T, name string, join ...*member) *member {
	t.Helper()
	args := []string{
		"--data-dir", filepath.Join(p.dir, name), "--set", "machine_id=" + name, "--workers", "1", "-o", "json",
		"--cluster-listen", "127.0.0.1:0", "--set", "orphan_grace=2",
	}
	if len(join) > 0 {
		args = append(args, "--join", addresses(join...))
	}
	m := &member{server: p.serve(t, p.adapter(t, "node.py")+":Notes", args...), place: p}
	if err := json.Unmarshal([]byte(m.ready), m); err != nil || m.ID == "" || m.Address == "" {
		t.Fatalf("ready line %s: %v", m.ready, err)
	}
	return m
}

func addresses(members ...*member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Address)
	}
	return strings.Join(all, ",")
}

// noted are what node.py tells of a session.
type noted struct {
	PID      int      `json:"pid"`
	Memory   []string `json:"memory"`
	State    []string `json:"state"`
	Restored bool     `json:"restored"`
}

// on calls a tool of a session through some of the nodes.
func (p *place) on(t *testing.T, hosts, session string, args ...string) noted {
	t.Helper()
	out := p.run(t, append([]string{"call", "--host", hosts, "--session", session, "-o", "json"}, args...)...)
	if out.code != 0 {
		t.Fatalf("session %s through %s: %s", session, hosts, out.stderr)
	}
	return decode[noted](t, out.stdout)
}

// TestSessionsSurviveTheLossOfTheirNode kills the host that owns sessions, and finds
// them on the others, through whichever node they're called.
func TestSessionsSurviveTheLossOfTheirNode(t *testing.T) {
	p := newPlace(t)
	first := p.member(t, "n1")
	second := p.member(t, "n2", first)
	third := p.member(t, "n3", first, second)
	for i, m := range []*member{first, second, third} {
		got := p.on(t, m.Address, "s", "note", fmt.Sprintf("word=w%d", i))
		if len(got.Memory) != i+1 || len(got.State) != i+1 {
			t.Fatalf("through node %d: %+v", i, got)
		}
	}
	first.stop(t, syscall.SIGKILL)
	began := time.Now()
	var last noted
	for _, hosts := range []string{addresses(first, second, third), second.Address, third.Address} {
		last = p.on(t, hosts, "s", "read")
		if want := []string{"w0", "w1", "w2"}; !slices.Equal(last.State, want) || !last.Restored {
			t.Errorf("through %s: %+v, want the state %v", hosts, last, want)
		}
	}
	t.Logf("three calls were answered within %s of the loss", time.Since(began))
	back := p.member(t, "n1", second)
	if back.ID != first.ID {
		t.Errorf("it came back as %s, and was %s", back.ID, first.ID)
	}
	if got := p.on(t, back.Address, "s", "note", "word=w3"); got.PID != last.PID || len(got.State) != 4 {
		t.Errorf("through the node that came back: %+v", got)
	}
}

// TestSessionsMoveWithWhatTheirWorkersSaveWhenANodeStops stops each node in turn, and
// starts it again: what a worker holds in memory goes along.
func TestSessionsMoveWithWhatTheirWorkersSaveWhenANodeStops(t *testing.T) {
	p := newPlace(t)
	all := []*member{p.member(t, "n1")}
	all = append(all, p.member(t, "n2", all[0]))
	all = append(all, p.member(t, "n3", all[0]))
	hosts := addresses(all...)
	p.on(t, all[0].Address, "rolling", "note", "word=a")
	for i, m := range all {
		if code := m.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("node %d stopped with %d: %s", i, code, m.stderr)
		}
		if got := p.on(t, hosts, "rolling", "read"); !slices.Equal(got.Memory, []string{"a"}) || !slices.Equal(got.State, []string{"a"}) {
			t.Errorf("after node %d stopped: %+v", i, got)
		}
		all[i] = p.member(t, fmt.Sprintf("n%d", i+1), all[(i+1)%3], all[(i+2)%3])
		hosts = addresses(all...)
	}
}
