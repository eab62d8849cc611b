//go:build integration && linux

package failover_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// patience ends what hangs.
const patience = time.Minute

// site is a cluster of three, and its client.
type site struct {
	t       *testing.T
	dir     string // all that it writes
	book    string // the workers' own record
	lan     *lan
	detour  *detour // nil: nodes reach each other directly
	client  string  // the folder of the client's certificate; empty: it isn't made yet
	nodes   []*node
	machine func(name string) string // each one's knob machine_id; they look like different machines
}

// node is one host: a folder, and a process or none.
type node struct {
	site *site
	name string
	data string
	tls  string
	addr string   // where others reach it
	set  []string // knobs

	advertise string // where others are told to; empty: where it listens

	cmd   *exec.Cmd // nil: it doesn't run
	id    proc.ID
	log   *os.File
	ready chan string // its line, then closed
	run   string      // its run folder
}

const port = "7070"

// orphansEnd is far more than what a dead host's workers are given to wait for another.
const orphansEnd = 30 * time.Second

// newSite makes three nodes; none runs yet.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp-") //nolint:usetesting // t.TempDir is too long for the sockets below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	source, err := os.ReadFile(filepath.Join("testdata", "ledger.py"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger.py"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, book: filepath.Join(dir, "book"), machine: func(name string) string { return "machine-" + name }}
	s.lan = newLAN(t, "n1", "n2", "n3", "client")
	for _, name := range []string{"n1", "n2", "n3"} {
		n := &node{site: s, name: name, data: filepath.Join(dir, name), addr: s.lan.address(name) + ":" + port}
		n.tls = filepath.Join(n.data, "tls")
		s.nodes = append(s.nodes, n)
	}
	t.Cleanup(s.wantNobodyLeft)
	return s
}

// start brings up all three: the first makes the cluster, the others join it by a token each.
func (s *site) start() {
	s.t.Helper()
	first := s.nodes[0]
	first.tool("cluster", "init-tls", "--dir", first.tls)
	first.begin()
	first.await()
	for _, n := range s.nodes[1:] {
		n.begin("--join", first.addr, "--join-token", strings.TrimSpace(first.tool("cluster", "token")))
		n.await()
	}
	s.eventually("three nodes, all of them voters, and a leader", func() bool {
		st := first.status()
		voters := 0
		for _, m := range st.Nodes {
			if m.Voter && m.Status == "up" {
				voters++
			}
		}
		return voters == len(s.nodes) && st.Leader != ""
	})
}

// hosts are the addresses that a client is told.
func (s *site) hosts() string {
	var all []string
	for _, n := range s.nodes {
		all = append(all, n.addr)
	}
	return strings.Join(all, ",")
}

// clientTLS is the folder with the client's certificate.
func (s *site) clientTLS() string {
	if s.client == "" {
		var made struct {
			Dir string `json:"client_dir"`
		}
		out := s.nodes[0].tool("cluster", "init-tls", "--dir", s.nodes[0].tls, "--client", "load", "-o", "json")
		if err := json.Unmarshal([]byte(out), &made); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		s.client = filepath.Join(s.dir, "client") // not a node's: what has that in its environment is the node's
		if err := os.Rename(made.Dir, s.client); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.client
}

// begin starts the program, and doesn't wait for it.
func (n *node) begin(flags ...string) {
	n.site.t.Helper()
	args := append([]string{
		"serve", "--data-dir", n.data, "--adapter", filepath.Join(n.site.dir, "ledger.py") + ":Ledger", "--workers", "2",
		"--cluster-listen", n.site.lan.address(n.name) + ":" + port, "--tls-dir", n.tls,
	}, flags...)
	for _, knob := range append([]string{
		"node=" + n.name, "python=" + program.Python(n.site.t), "machine_id=" + n.site.machine(n.name), "log_level=info",
		"env=LEDGER_BOOK=" + n.site.book, // the same for all: else a worker couldn't be adopted
	}, n.set...) {
		args = append(args, "--set", knob)
	}
	if n.advertise != "" {
		args = append(args, "--cluster-advertise", n.advertise)
	}
	cmd := n.site.lan.command(n.name, append([]string{binary}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+n.site.dir, "XDG_RUNTIME_DIR="+n.site.dir, "NO_COLOR=1")
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		n.site.t.Fatal(err)
	}
	if n.log == nil {
		if n.log, err = os.Create(filepath.Join(n.site.dir, n.name+".log")); err != nil {
			n.site.t.Fatal(err)
		}
		n.site.t.Cleanup(n.tellLog)
	}
	cmd.Stderr = n.log
	if err := cmd.Start(); err != nil {
		n.site.t.Fatal(err)
	}
	if n.id, err = proc.Identify(cmd.Process.Pid); err != nil { // it isn't reaped yet
		n.site.t.Fatal(err)
	}
	n.cmd, n.ready = cmd, make(chan string, 1)
	n.site.t.Cleanup(n.kill)
	ready := n.ready
	go func() {
		defer close(ready)
		r := bufio.NewReader(stdout)
		if line, err := r.ReadString('\n'); err == nil {
			ready <- line
		}
		_, _ = io.Copy(io.Discard, r) // nothing comes
	}()
}

// tellLog shows what a node said when its test has failed.
func (n *node) tellLog() {
	_ = n.log.Close()
	if !n.site.t.Failed() {
		return
	}
	text, _ := os.ReadFile(n.log.Name())
	const most = 8 << 10
	n.site.t.Logf("%s said:\n%s", n.name, text[max(0, len(text)-most):])
}

// await waits until it's ready.
func (n *node) await() {
	n.site.t.Helper()
	var line string
	select {
	case line = <-n.ready:
	case <-time.After(patience):
	}
	_, rest, ok := strings.Cut(line, "socket=")
	if !ok {
		text, _ := os.ReadFile(n.log.Name())
		n.site.t.Fatalf("%s doesn't get ready (%q):\n%s", n.name, line, text)
	}
	socket, _, _ := strings.Cut(rest, " ")
	n.run = filepath.Dir(strings.TrimSpace(socket))
}

// kill ends the host's process alone, at once.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // says that it was killed
	n.cmd = nil
}

// stop ends the host in order.
func (n *node) stop() {
	n.site.t.Helper()
	if err := n.cmd.Process.Signal(unix.SIGTERM); err != nil {
		n.site.t.Fatal(err)
	}
	ended := make(chan error, 1)
	cmd := n.cmd
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			n.site.t.Errorf("%s ended with %v", n.name, err)
		}
	case <-time.After(patience):
		n.site.t.Errorf("%s doesn't end", n.name)
		_ = cmd.Process.Kill()
		<-ended
	}
	n.cmd = nil
}

// signal goes to the host's process alone.
func (n *node) signal(sig unix.Signal) {
	n.site.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		n.site.t.Fatal(err)
	}
}

// destroy ends everything that the host runs, as if its machine had lost its power:
// first it can't be reached, then it's gone.
func (n *node) destroy() {
	n.site.t.Helper()
	n.site.lan.unplug(n.name)
	pair, paired := census.PairIn(n.run)
	ids := []proc.ID{n.id}
	if paired {
		ids = append(ids, pair.Guard, pair.Shim)
	}
	for _, e := range n.site.entries(n.data) {
		ids = append(ids, e.ID)
	}
	held, err := census.Hold(ids...)
	if err != nil {
		n.site.t.Fatal(err)
	}
	defer held.Close()
	held.Signal(unix.SIGKILL)
	_ = n.cmd.Wait() // says that it was killed
	n.cmd = nil
	if held.Ended(patience) == nil {
		n.site.t.Errorf("%s has processes that can't be killed", n.name)
	}
}

// tool runs a command of the program on the node's data directory.
func (n *node) tool(args ...string) string {
	n.site.t.Helper()
	out, err := n.try(args...)
	if err != nil {
		n.site.t.Fatalf("snakepit %s on %s: %v", strings.Join(args, " "), n.name, err)
	}
	return out
}

func (n *node) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	inner := n.site.lan.command(n.name, append([]string{binary, "--data-dir", n.data}, args...)...)
	cmd := exec.CommandContext(ctx, inner.Args[0], inner.Args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+n.site.dir, "XDG_RUNTIME_DIR="+n.site.dir, "NO_COLOR=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}

// clusterStatus is what `cluster status -o json` says, as far as it's looked at here.
type clusterStatus struct {
	Leader string `json:"leader"`
	Nodes  []struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Status string `json:"status"`
		Voter  bool   `json:"voter"`
	} `json:"nodes"`
}

func (n *node) status() clusterStatus {
	n.site.t.Helper()
	var st clusterStatus
	out, err := n.try("cluster", "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	if err != nil {
		n.site.t.Logf("the status of %s: %v", n.name, err)
	}
	return st
}

// leader is the node that leads, as the others see it.
func (s *site) leader() *node {
	s.t.Helper()
	var found *node
	s.eventually("a leader", func() bool {
		for _, n := range s.nodes {
			if n.cmd == nil {
				continue
			}
			st := n.status()
			for _, m := range st.Nodes {
				if m.ID == st.Leader && m.ID != "" {
					found = s.named(m.Name)
				}
			}
			return found != nil
		}
		return false
	})
	return found
}

func (s *site) named(name string) *node {
	for _, n := range s.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// other is a node that isn't n.
func (s *site) other(n *node) *node {
	for _, o := range s.nodes {
		if o != n {
			return o
		}
	}
	return nil
}

func (s *site) eventually(what string, f func() bool) {
	s.t.Helper()
	s.eventuallyWithin(patience, what, f)
}

func (s *site) eventuallyWithin(limit time.Duration, what string, f func() bool) {
	s.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("after %s: no sign of %s", limit, what)
		}
	}
}

// entries are the processes that carry a mark in arguments or environment.
func (s *site) entries(mark string) []census.Entry {
	s.t.Helper()
	all, err := census.Take(mark)
	if err != nil {
		s.t.Fatal(err)
	}
	var ours []census.Entry
	for _, e := range all {
		if e.PID != os.Getpid() {
			ours = append(ours, e)
		}
	}
	return ours
}

// end stops all nodes in order.
func (s *site) end() {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.cmd != nil {
			n.stop()
		}
	}
}

// wantNobodyLeft finds whoever outlived the test.
func (s *site) wantNobodyLeft() {
	deadline := time.Now().Add(orphansEnd)
	var left []census.Entry
	for time.Now().Before(deadline) {
		if left = s.entries(s.dir); len(left) == 0 {
			return
		}
		pause(context.Background(), 20*time.Millisecond)
	}
	for _, e := range left {
		s.t.Errorf("left: %s", e)
		if held, err := census.Hold(e.ID); err == nil {
			held.Signal(unix.SIGKILL)
			held.Close()
		}
	}
}
