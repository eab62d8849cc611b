//go:build integration && linux

package integration_test

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// nodeNamed finds what the cluster says of a node, as a node in a folder sees it.
func (p *place) nodeNamed(t *testing.T, on string, m *member) (status string, unverified int) {
	t.Helper()
	for _, n := range p.clusterOn(t, on).Nodes {
		if n.ID == m.ID {
			return n.Status, n.Unverified
		}
	}
	return "", 0
}

// escaped is a process that left the session of a node's worker.
func (p *place) escaped(t *testing.T, m *member) process {
	t.Helper()
	return escapee(t, p.must(t, "call", "--host", m.Address, "escape"))
}

// killWhole kills a host at once with all that would clean up after it.
func (m *member) killWhole(t *testing.T) {
	t.Helper()
	killAtOnce(t, trio(t, m.cmd.Process.Pid))
	m.stop(t, syscall.SIGKILL) // reaps it
}

// TestNodesCleanUpAfterTheDeadOnTheirMachineAndNoOther kills two nodes with their guards
// and shims: one that has neighbours, and one that is said to be on a machine of its own.
func TestNodesCleanUpAfterTheDeadOnTheirMachineAndNoOther(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	// Without cgroups, or another test's guard would find what is left.
	at := seat{address: "127.0.0.1:0", machine: "here", adapter: p.adapter(t, "escape.py"), more: []string{"--set", "cgroups=off"}}
	there := at
	there.machine = "there"
	first := p.memberOn(t, "n1", at)
	second := p.memberOn(t, "n2", at, first)
	far := p.memberOn(t, "far", there, first)
	eventuallyWithin(t, 30*time.Second, "three vote", func() bool { return p.clusterOn(t, "n1").voters() == 3 })
	near := p.memberOn(t, "near", at, first)
	left, kept := p.escaped(t, near), p.escaped(t, far)
	lives, stranger := p.escaped(t, second), p.stranger(t)

	far.killWhole(t)
	eventuallyWithin(t, 30*time.Second, "the far one is down, and its process is listed", func() bool {
		status, unverified := p.nodeNamed(t, "n1", far)
		return status == "down" && unverified == 1
	})
	near.killWhole(t)
	began := time.Now()
	eventuallyWithin(t, 30*time.Second, "what the near one left is gone", func() bool { return !left.alive() })
	t.Logf("a neighbour ended what was left %s after the death", time.Since(began))
	for _, on := range []string{"n1", "n2"} {
		eventuallyWithin(t, 30*time.Second, "no process of the near one is unverified", func() bool {
			status, unverified := p.nodeNamed(t, on, near)
			return status == "down" && unverified == 0
		})
	}
	if !kept.alive() || !lives.alive() || !stranger.alive() {
		t.Errorf("alive: %v left on the other machine, %v of a node that lives, %v a stranger", kept.alive(), lives.alive(), stranger.alive())
	}
	if _, unverified := p.nodeNamed(t, "n2", far); unverified != 1 {
		t.Errorf("the far one has %d unverified processes", unverified)
	}
	if second.stop(t, syscall.SIGTERM) != 0 || lives.alive() {
		t.Errorf("the second node's end: %s", second.stderr)
	}
}

// epoch is that of the only session, as a node in a folder has it.
func (p *place) epoch(t *testing.T, on string) uint64 {
	t.Helper()
	all := decode[[]struct {
		Epoch uint64 `json:"epoch"`
	}](t, p.must(t, "sessions", "-o", "json", "--data-dir", filepath.Join(p.dir, on)))
	if len(all) != 1 {
		t.Fatalf("sessions: %+v", all)
	}
	return all[0].Epoch
}

// TestSessionsGoOnInTheirWorkersMemoryWhenANeighbourTakesOver kills a host and leaves its
// guard and shim alone: another node on its machine goes on with its worker, and one
// elsewhere makes the session anew of its state.
func TestSessionsGoOnInTheirWorkersMemoryWhenANeighbourTakesOver(t *testing.T) {
	t.Parallel()
	for name, machines := range map[string][]string{
		"on one machine":     {"here", "here", "here"},
		"on another machine": {"here", "there", "there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			at := func(i int) seat {
				return seat{address: "127.0.0.1:0", machine: machines[i], adapter: p.adapter(t, "node.py") + ":Notes", more: []string{"--set", "orphan_grace=10"}}
			}
			first := p.memberOn(t, "n1", at(0))
			second := p.memberOn(t, "n2", at(1), first)
			third := p.memberOn(t, "n3", at(2), first)
			eventuallyWithin(t, 30*time.Second, "three vote", func() bool { return p.clusterOn(t, "n1").voters() == 3 })
			p.on(t, first.Address, "s", "note", "word=a")
			p.must(t, "call", "--host", first.Address, "--session", "s", "remember") // it's in memory alone
			before, epoch := p.on(t, first.Address, "s", "read"), p.epoch(t, "n1")

			first.stop(t, syscall.SIGKILL)
			began := time.Now()
			after := p.on(t, addresses(second, third), "s", "note", "word=b")
			t.Logf("the session answers %s after the death", time.Since(began))
			want := noted{PID: before.PID, Memory: []string{"a", "x", "b"}, State: []string{"a", "b"}}
			if machines[0] != machines[1] {
				want = noted{PID: after.PID, Memory: []string{"b"}, State: []string{"a", "b"}, Restored: true}
			}
			if diff := cmp.Diff(want, after); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if machines[0] == machines[1] {
				eventually(t, "no process of the dead node is unverified", func() bool {
					_, unverified := p.nodeNamed(t, "n2", first)
					return unverified == 0
				})
			}
			if now := p.epoch(t, "n2"); now <= epoch {
				t.Errorf("its epoch is %d, and was %d", now, epoch)
			}

			back := p.memberOn(t, "n1", at(0), second)
			if got := p.on(t, back.Address, "s", "note", "word=c"); got.PID != after.PID || strings.Join(got.State, "") != "abc" || len(got.Memory) != len(after.Memory)+1 {
				t.Errorf("once the dead node is back: %+v, after %+v", got, after)
			}
			for _, m := range []*member{back, third, second} {
				if code := m.stop(t, syscall.SIGTERM); code != 0 {
					t.Errorf("%s stopped with %d: %s", m.ID, code, m.stderr)
				}
			}
			eventuallyWithin(t, 20*time.Second, "nobody is left", func() bool { return len(p.processes(t)) == 0 })
		})
	}
}

// TestAHostThatIsWaitedForGoesOnInItsWorkersMemory kills a host whose sessions wait for
// it, and starts it again.
func TestAHostThatIsWaitedForGoesOnInItsWorkersMemory(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	at := func(name string) seat {
		return seat{
			address: "127.0.0.1:0", machine: name, adapter: p.adapter(t, "node.py") + ":Notes",
			more: []string{"--set", "orphan_grace=20", "--set", "stop_after=20", "--set", "rehome_after=20"},
		}
	}
	first := p.memberOn(t, "n1", at("n1"))
	second := p.memberOn(t, "n2", at("n2"), first)
	third := p.memberOn(t, "n3", at("n3"), first)
	eventuallyWithin(t, 30*time.Second, "three vote", func() bool { return p.clusterOn(t, "n1").voters() == 3 })
	p.on(t, second.Address, "s", "note", "word=a")
	p.must(t, "call", "--host", second.Address, "--session", "s", "remember")
	before, epoch := p.on(t, second.Address, "s", "read"), p.epoch(t, "n2")
	second.stop(t, syscall.SIGKILL)
	eventuallyWithin(t, 20*time.Second, "it's down", func() bool {
		status, _ := p.nodeNamed(t, "n1", second)
		return status == "down"
	})
	back := p.memberOn(t, "n2", at("n2"), first)
	after := p.on(t, addresses(third, back), "s", "note", "word=b")
	if want := []string{"a", "x", "b"}; after.PID != before.PID || after.Restored || !slices.Equal(after.Memory, want) {
		t.Errorf("%+v, after %+v", after, before)
	}
	if now := p.epoch(t, "n2"); now <= epoch {
		t.Errorf("its epoch is %d, and was %d", now, epoch)
	}
}
