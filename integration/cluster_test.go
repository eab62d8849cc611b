//go:build integration

package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/integration/program"
)

// clusterStatus is what is looked at of `cluster status -o json`.
type clusterStatus struct {
	State   string `json:"state"`
	Summary string `json:"summary"`
	Node    string `json:"node"`
	Leader  string `json:"leader"`
	Nodes   []struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Status     string `json:"status"`
		Member     bool   `json:"member"`
		Voter      bool   `json:"voter"`
		Sessions   int    `json:"sessions"`
		Unverified int    `json:"unverified"`
	} `json:"nodes"`
}

// voters counts those of a cluster.
func (c clusterStatus) voters() (n int) {
	for _, x := range c.Nodes {
		if x.Voter {
			n++
		}
	}
	return n
}

// clusterOn asks a node.
func (p *place) clusterOn(t *testing.T, node string) clusterStatus {
	t.Helper()
	o := p.run(t, "cluster", "status", "-o", "json", "--data-dir", filepath.Join(p.dir, node))
	if o.code != 0 {
		t.Fatalf("status of %s: %s", node, o.stderr)
	}
	return decode[clusterStatus](t, o.stdout)
}

// node starts a node of a cluster on loopback.
func (p *place) node(t *testing.T, name string, more ...string) *server {
	t.Helper()
	return p.serve(t, filepath.Join(program.Root(t), "examples", "cluster", "baskets.py"), append([]string{
		"--workers", "1", "--data-dir", filepath.Join(p.dir, name), "--set", "node=" + name, "--set", "orphan_grace=0", "--cluster-listen", "127.0.0.1:0",
	}, more...)...)
}

// must runs a command that has to succeed.
func (p *place) must(t *testing.T, args ...string) string {
	t.Helper()
	o := p.run(t, args...)
	if o.code != 0 {
		t.Fatalf("%s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o.stdout
}

func TestClusterCommandsLookAfterThreeNodes(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	on := func(node string) string { return "--data-dir=" + filepath.Join(p.dir, node) }
	first := p.node(t, "n1")
	_, address, _ := strings.Cut(strings.TrimSpace(first.ready), "cluster_address=")
	token := strings.TrimSpace(p.must(t, "cluster", "token", "--uses", "2", on("n1")))
	second := p.node(t, "n2", "--join", address, "--join-token", token)
	third := p.node(t, "n3", "--join", address, "--join-token", token)
	eventuallyWithin(t, 30*time.Second, "three vote", func() bool { return p.clusterOn(t, "n3").voters() == 3 })

	p.must(t, "call", "add", "item=apples", "--session", "s", on("n2"))
	if text := p.must(t, "sessions", on("n1")); !strings.Contains(text, "n2") {
		t.Errorf("n2 doesn't own it:\n%s", text)
	}
	if text := p.must(t, "cluster", "transfer", "n3", on("n2")); !strings.HasPrefix(text, "leads node=n3 ") {
		t.Errorf("transfer: %s", text)
	}
	eventually(t, "the leader can't be removed", func() bool { // until its office is open it's not_leader
		o := p.run(t, "cluster", "remove", "n3", on("n1"))
		return o.code == 1 && strings.Contains(o.stderr, "conflict")
	})

	left := p.run(t, "cluster", "leave", on("n2"))
	if left.code != 0 || !strings.HasPrefix(left.stdout, "left node=n2 ") || !strings.Contains(left.stderr, "has left") {
		t.Fatalf("leave: %d %s%s", left.code, left.stdout, left.stderr)
	}
	_ = second.cmd.Wait() // it ends by itself
	second.ended = true
	if code := second.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the host that left ended with %d: %s", code, second.stderr)
	}
	if text := p.must(t, "call", "add", "item=bread", "--session", "s", on("n1")); !strings.Contains(text, "apples") || !strings.Contains(text, "bread") {
		t.Errorf("its session has %s", text)
	}
	for _, n := range p.clusterOn(t, "n1").Nodes {
		if n.Name == "n2" && (n.Status != "left" || n.Member || n.Unverified != 0) {
			t.Errorf("after leaving it's %+v", n)
		}
	}
	p.must(t, "cluster", "forget", "n2", on("n1"))

	third.stop(t, syscall.SIGKILL) // which alone votes
	eventuallyWithin(t, 30*time.Second, "n1 says that it has no quorum", func() bool { return p.clusterOn(t, "n1").State == "no_quorum" })
	if o := p.run(t, "cluster", "token", on("n1")); o.code != 1 || !strings.Contains(o.stderr, "hint: ") {
		t.Errorf("a token without a quorum: %d %s", o.code, o.stderr)
	}
}

func TestClustersExampleLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	example := filepath.Join(p.dir, "cluster")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", example, "./examples/cluster")
	build.Dir = program.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, more := range [][]string{nil, {"-leader"}} {
		cmd := exec.CommandContext(t.Context(), example, append([]string{"-program", binary, "-python", program.Python(t)}, more...)...)
		cmd.Dir, cmd.Env = program.Root(t), append(p.env, "TMPDIR="+p.dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasSuffix(string(out), "\nNo basket has lost anything.\n") {
			t.Errorf("%v: %v\n%s", more, err, out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(p.dir, "spc-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if entries, err := os.ReadDir(filepath.Join(p.dir, "snakepit")); err == nil && len(entries) > 0 {
		t.Errorf("run folders are left: %v", entries)
	}
}
