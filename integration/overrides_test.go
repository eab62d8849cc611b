//go:build integration && linux

package integration_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// poolView is what is looked at of `pools -o json`.
type poolView struct {
	Size      int               `json:"size"`
	Ready     int               `json:"ready"`
	Overrides map[string]string `json:"overrides"`
}

// pool is how the one pool of a node is.
func (m *member) pool(t *testing.T) poolView {
	t.Helper()
	all := decode[[]poolView](t, m.place.must(t, "pools", "-o", "json", "--host", m.Address))
	if len(all) != 1 {
		t.Fatalf("%d pools", len(all))
	}
	return all[0]
}

// has waits until the pools of all nodes have as many workers.
func has(t *testing.T, workers int, overridden string, nodes ...*member) {
	t.Helper()
	for _, m := range nodes {
		eventuallyWithin(t, 30*time.Second, "the workers of "+m.Address, func() bool {
			got := m.pool(t)
			return got.Size == workers && got.Ready == workers && got.Overrides["pool_size"] == overridden
		})
	}
}

// TestKnobsSetOnOneHostHoldOnAll sets the size of a pool through one of three hosts,
// restarts them, with and without a majority, and goes back.
func TestKnobsSetOnOneHostHoldOnAll(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first := p.memberAt(t, "n1", freeAddress(t))
	second := p.memberAt(t, "n2", freeAddress(t), first)
	third := p.memberAt(t, "n3", freeAddress(t), first)
	set := p.must(t, "pools", "set", "default", "pool_size=2", "queue_size=7", "--host", third.Address)
	if set != "set pool=default pool_size=2 queue_size=7\n" {
		t.Errorf("set prints %q", set)
	}
	has(t, 2, "2", first, second, third)
	for _, wrong := range []string{"pool_siz=3", "adapter=other.py", "pool_size=none"} {
		if o := p.run(t, "pools", "set", "default", wrong, "--host", first.Address); o.code != 1 || !strings.Contains(o.stderr, "invalid_config") {
			t.Errorf("%s: exit %d, %s", wrong, o.code, o.stderr)
		}
	}
	text := p.must(t, "pools", "overrides", "--host", first.Address)
	if !strings.Contains(text, "pool_size") || !strings.Contains(text, "--workers") && !strings.Contains(text, "Workers") {
		t.Errorf("overrides:\n%s", text)
	}

	if code := second.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("n2 stopped with %d: %s", code, second.stderr)
	}
	second = p.memberAt(t, "n2", second.Address)
	if got := second.pool(t); got.Size != 2 || got.Ready != 2 { // from its first moment on
		t.Errorf("n2 came back with %+v", got)
	}

	for _, m := range []*member{first, second, third} {
		m.stop(t, syscall.SIGKILL)
	}
	first = p.memberAt(t, "n1", first.Address)
	if got := first.pool(t); first.Quorum || got.Size != 1 || len(got.Overrides) != 0 {
		t.Errorf("without a majority n1 has %+v (%v)", got, first.Quorum)
	}
	second = p.memberAt(t, "n2", second.Address)
	has(t, 2, "2", first, second)

	if text := p.must(t, "pools", "unset", "default", "--host", second.Address); text != "unset pool=default knobs=pool_size,queue_size\n" {
		t.Errorf("unset prints %q", text)
	}
	third = p.memberAt(t, "n3", third.Address)
	has(t, 1, "", first, second, third)
}

func TestAHostByItselfKeepsItsKnobs(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	start := func() *server {
		return p.serve(t, p.adapter(t, "node.py")+":Notes", "--workers", "1", "--data-dir", p.dir+"/alone")
	}
	on := "--data-dir=" + p.dir + "/alone"
	alone := start()
	p.must(t, "pools", "set", "default", "pool_size=2", on)
	alone.stop(t, syscall.SIGKILL)
	alone = start()
	if got := decode[[]poolView](t, p.must(t, "pools", "-o", "json", on))[0]; got.Size != 2 || got.Overrides["pool_size"] != "2" {
		t.Errorf("it came back with %+v", got)
	}
	p.must(t, "pools", "unset", "default", on)
	eventually(t, "its own size", func() bool { return decode[[]poolView](t, p.must(t, "pools", "-o", "json", on))[0].Size == 1 })
	if code := alone.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("it stopped with %d: %s", code, alone.stderr)
	}
}
