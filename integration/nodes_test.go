//go:build integration && linux

package integration_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
)

// member is a running host that is a node of a cluster.
type member struct {
	*server
	place *place

	ID      string `json:"node_id"`
	Address string `json:"cluster_address"`
	PID     int    `json:"pid"`
	Quorum  bool   `json:"quorum"`
}

// member starts a host as a node, with folders of its own.
func (p *place) member(t *testing.T, name string, join ...*member) *member {
	t.Helper()
	return p.memberAt(t, name, "127.0.0.1:0", join...)
}

// memberAt starts one that listens at an address.
func (p *place) memberAt(t *testing.T, name, address string, join ...*member) *member {
	t.Helper()
	return p.memberOn(t, name, seat{address: address, machine: name, adapter: p.adapter(t, "node.py") + ":Notes"}, join...)
}

// seat is where a node is, and what it runs.
type seat struct {
	address, machine, adapter string
	more                      []string // arguments
}

// memberOn starts one on a machine of a name.
func (p *place) memberOn(t *testing.T, name string, at seat, join ...*member) *member {
	t.Helper()
	args := append([]string{
		"--data-dir", filepath.Join(p.dir, name), "--set", "machine_id=" + at.machine, "--workers", "1", "-o", "json",
		"--cluster-listen", at.address, "--set", "orphan_grace=2",
	}, at.more...)
	if len(join) > 0 {
		args = append(args, "--join", addresses(join...))
	}
	if _, err := os.Stat(filepath.Join(p.dir, name)); err != nil && len(join) > 0 { // it's new
		args = append(args, "--join-token", strings.TrimSpace(p.must(t, "cluster", "token", "--host", join[0].Address)))
	}
	m := &member{server: p.serve(t, at.adapter, args...), place: p}
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

// TestNodeThatStartsWithoutAMajorityServesWhatItCan kills all nodes and starts them one
// after the other.
func TestNodeThatStartsWithoutAMajorityServesWhatItCan(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	all := []*member{p.member(t, "n1")}
	all = append(all, p.member(t, "n2", all[0]))
	all = append(all, p.member(t, "n3", all[0]))
	p.on(t, all[0].Address, "s", "note", "word=a")
	for _, m := range all {
		m.stop(t, syscall.SIGKILL)
	}
	alone := p.memberAt(t, "n1", all[0].Address)
	if alone.Quorum || !all[0].Quorum {
		t.Errorf("ready lines: %s after %s", alone.ready, all[0].ready)
	}
	if out := p.run(t, "call", "--host", alone.Address, "plus", "x=1"); out.code != 0 || strings.TrimSpace(out.stdout) != "2" {
		t.Errorf("a call without a session: %d %s%s", out.code, out.stdout, out.stderr)
	}
	out := p.run(t, "call", "--host", alone.Address, "--session", "s", "--timeout", "1s", "read")
	if out.code != 1 || !strings.Contains(out.stderr, "no_quorum") {
		t.Errorf("one with a session: %d %s%s", out.code, out.stdout, out.stderr)
	}
	if state := p.clusterOn(t, "n1").State; state != "no_quorum" {
		t.Errorf("its cluster is %s", state)
	}
	waiting := make(chan outcome, 1)
	go func() { waiting <- p.run(t, "call", "--host", alone.Address, "--session", "s", "-o", "json", "read") }()
	second := p.memberAt(t, "n2", all[1].Address)
	if out := <-waiting; out.code != 0 || !slices.Equal(decode[noted](t, out.stdout).State, []string{"a"}) {
		t.Errorf("the call that waited: %d %s%s", out.code, out.stdout, out.stderr)
	}
	for _, m := range []*member{alone, second} {
		if got := p.on(t, m.Address, "s", "note", "word=b"); len(got.State) < 2 {
			t.Errorf("through %s: %+v", m.ID, got)
		}
	}
	if code := alone.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("it stopped with %d: %s", code, alone.stderr)
	}
}

// TestNodeThatStoodStillServesAgainWithoutItsFormerSessions stops a host's process, not
// its workers, until the others have its sessions, and lets it go on.
func TestNodeThatStoodStillServesAgainWithoutItsFormerSessions(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.member(t, "n1")
	second := p.member(t, "n2", first)
	third := p.member(t, "n3", first)
	before := p.on(t, first.Address, "s", "note", "word=a")
	path := filepath.Join(p.dir, "ticks")
	ticking := make(chan outcome, 1)
	go func() { ticking <- p.run(t, "call", "--host", first.Address, "--session", "s", "tick", "path="+path) }()
	eventually(t, "it ticks", func() bool { b, err := os.ReadFile(path); return err == nil && len(b) > 0 })
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventuallyWithin(t, 20*time.Second, "another node has its session", func() bool {
		return p.run(t, "call", "--host", second.Address, "--session", "s", "--timeout", "5s", "read").code == 0
	})
	moved := p.on(t, second.Address, "s", "note", "word=b")
	last, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if moved.PID == before.PID || !moved.Restored || !slices.Equal(moved.State, []string{"a", "b"}) {
		t.Errorf("elsewhere: %+v", moved)
	}
	if err := syscall.Kill(first.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if out := <-ticking; out.code != 1 || strings.Contains(out.stderr, "no_quorum") {
		t.Errorf("the call that ran there: %d %s", out.code, out.stderr)
	}
	if got := p.on(t, first.Address, "s", "note", "word=c"); got.PID != moved.PID || len(got.State) != 3 {
		t.Errorf("through the node that went on: %+v, want process %d", got, moved.PID)
	}
	eventuallyWithin(t, 20*time.Second, "the node that went on serves sessions of its own", func() bool {
		got := p.run(t, "call", "--host", first.Address, "--session", "fresh", "--timeout", "5s", "-o", "json", "note", "word=x")
		return got.code == 0 && p.owns(t, "n1") > 0
	})
	now, err := os.ReadFile(path)
	if err != nil || len(now) != len(last) {
		t.Errorf("its call went on: %d bytes, then %d; %v", len(last), len(now), err)
	}
	if _, alive := identify(before.PID); alive {
		t.Error("the worker that ran the session's call is alive")
	}
	for _, m := range []*member{third, second, first} {
		if code := m.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s stopped with %d: %s", m.ID, code, m.stderr)
		}
	}
}

// owns is how many sessions the node in a folder has.
func (p *place) owns(t *testing.T, node string) int {
	t.Helper()
	c := p.clusterOn(t, node)
	for _, x := range c.Nodes {
		if x.ID == c.Node {
			return x.Sessions
		}
	}
	return 0
}

// TestANodesUpgradeUnderLoadLosesNoCallAndNoSession upgrades the owner of sessions while
// they're called through another node.
func TestANodesUpgradeUnderLoadLosesNoCallAndNoSession(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.memberAt(t, "n1", freeAddress(t))
	second := p.member(t, "n2", first)
	third := p.member(t, "n3", first)
	const sessions = 4
	for i := range sessions {
		p.on(t, first.Address, fmt.Sprintf("s%d", i), "note", "word=0")
	}
	var stop atomic.Bool
	var load sync.WaitGroup
	var calls atomic.Int64
	for i := range sessions {
		load.Go(func() {
			if err := rememberUntil(t, second.Address, fmt.Sprintf("s%d", i), &stop, &calls); err != nil {
				t.Error(err)
			}
		})
	}
	const some = 40
	eventually(t, "calls are answered", func() bool { return calls.Load() >= some })
	old := first.PID
	data := filepath.Join(p.dir, "n1")
	out := p.run(t, "upgrade", "--data-dir", data, "-o", "json")
	if out.code != 0 {
		t.Errorf("upgrade: exit %d\n%s", out.code, out.stderr)
	}
	next := first.nextReady(t)
	at := calls.Load()
	eventually(t, "calls go on after it", func() bool { return t.Failed() || calls.Load() >= at+some })
	stop.Store(true)
	load.Wait()
	if next.PID == old || p.owns(t, "n1") != sessions {
		t.Errorf("process %d has %d sessions, after process %d", next.PID, p.owns(t, "n1"), old)
	}
	t.Logf("%d calls", calls.Load())
	for _, m := range []*member{third, second} {
		m.stop(t, syscall.SIGTERM)
	}
	p.stopHost(t, next.PID)
	first.stop(t, syscall.SIGTERM)
}

// rememberUntil makes a session's worker remember words, and checks that it has them all.
func rememberUntil(t *testing.T, address, session string, stop *atomic.Bool, calls *atomic.Int64) error {
	t.Helper()
	c, err := client.Dial(t.Context(), address)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 1; !stop.Load(); n++ {
		got, err := snakepit.Call[struct {
			Memory int `msgpack:"memory"`
		}](t.Context(), c, "remember", nil, snakepit.Session(session))
		if err != nil {
			return fmt.Errorf("call %d of session %s: %w", n, session, err)
		}
		if got.Memory != n+1 {
			return fmt.Errorf("call %d of session %s: its worker remembers %d words", n, session, got.Memory)
		}
		calls.Add(1)
	}
	return nil
}

// freeAddress is one on loopback that nobody has.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
