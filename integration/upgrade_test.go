//go:build integration && linux

package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
)

// readyLine is what serve prints, with -o json.
type readyLine struct {
	PID     int    `json:"pid"`
	Socket  string `json:"socket"`
	Workers int    `json:"workers"`
}

func (s *server) nextReady(t *testing.T) readyLine {
	t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v\n%s", err, s.stderr)
	}
	return decode[readyLine](t, line)
}

// workerPIDs lists the workers of the live host, the lowest first.
func (p *place) workerPIDs(t *testing.T, dataDir string) []int {
	t.Helper()
	out := p.run(t, "workers", "--data-dir", dataDir, "-o", "json")
	var pids []int
	for _, w := range decode[[]struct {
		PID int `json:"pid"`
	}](t, out.stdout) {
		pids = append(pids, w.PID)
	}
	slices.Sort(pids)
	return pids
}

// TestUpgradesUnderLoadLoseNoCallAndNoSession upgrades a host several times while
// callers with a session each count in Python memory. Every worker has room for all
// of them, so that a session's home is never busy.
func TestUpgradesUnderLoadLoseNoCallAndNoSession(t *testing.T) {
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	s := p.serve(t, p.adapter(t, "upgrade.py")+":Counters", "--data-dir", data, "-o", "json")
	ready := decode[readyLine](t, s.ready)
	before := p.workerPIDs(t, data)

	const sessions, upgrades = 4, 4
	var stop atomic.Bool
	var load sync.WaitGroup
	var calls atomic.Int64
	for i := range sessions {
		load.Go(func() {
			n, err := countUntil(t, ready.Socket, fmt.Sprintf("s%d", i), &stop)
			calls.Add(int64(n))
			if err != nil {
				t.Error(err)
			}
		})
	}
	pids := []int{ready.PID}
	for range upgrades {
		out := p.run(t, "upgrade", "--data-dir", data, "-o", "json")
		if out.code != 0 {
			t.Fatalf("upgrade: exit %d\n%s", out.code, out.stderr)
		}
		next := s.nextReady(t)
		if got := decode[map[string]int](t, out.stdout); got["pid"] != next.PID || got["old_pid"] != pids[len(pids)-1] {
			t.Errorf("upgrade said %v; process %d is ready, after %v", got, next.PID, pids)
		}
		pids = append(pids, next.PID)
	}
	stop.Store(true)
	load.Wait()
	after := p.workerPIDs(t, data)
	t.Logf("%d calls in %d sessions over %d upgrades; hosts %v, workers %v", calls.Load(), sessions, upgrades, pids, after)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("workers %v, want %v", after, before)
	}
	p.stopHost(t, pids[len(pids)-1])
	s.stop(t, syscall.SIGTERM) // it has ended: this reaps it
}

// stopHost ends a host that isn't the test's child any more.
func (p *place) stopHost(t *testing.T, pid int) {
	t.Helper()
	x, ok := identify(pid)
	if !ok {
		t.Fatalf("host %d is gone", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host is still there", func() bool { return !x.alive() })
}

// countUntil makes a session count up in Python memory, and checks each count.
func countUntil(t *testing.T, socket, session string, stop *atomic.Bool) (int, error) {
	t.Helper()
	c, err := client.Dial(t.Context(), socket)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	n := 1
	for ; !stop.Load(); n++ {
		got, err := snakepit.Call[int](t.Context(), c, "count", nil, snakepit.Session(session))
		if err != nil {
			return n, fmt.Errorf("call %d of session %s: %w", n, session, err)
		}
		if got != n {
			return n, fmt.Errorf("call %d of session %s gave %d: its memory is gone", n, session, got)
		}
	}
	return n - 1, nil
}

func TestAnUpgradeLetsARunningCallFinish(t *testing.T) {
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	s := p.serve(t, p.adapter(t, "upgrade.py")+":Counters", "--data-dir", data, "-o", "json")
	ready := decode[readyLine](t, s.ready)
	c, err := client.Dial(t.Context(), ready.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	gate := filepath.Join(p.dir, "gate")
	waiting := make(chan error, 1)
	go func() {
		got, err := snakepit.Call[string](t.Context(), c, "wait_for", map[string]any{"path": gate})
		if err == nil && got != "there" {
			err = fmt.Errorf("it gave %q", got)
		}
		waiting <- err
	}()
	eventually(t, "the tool doesn't run", func() bool { _, err := os.Stat(gate + ".waiting"); return err == nil })

	upgraded := make(chan outcome, 1)
	go func() { upgraded <- p.run(t, "upgrade", "--data-dir", data, "-o", "json") }()
	eventually(t, "the new process isn't there", func() bool { return len(p.hosts(t)) == 2 })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	if out := <-upgraded; out.code != 0 {
		t.Fatalf("upgrade: exit %d\n%s", out.code, out.stderr)
	}
	p.stopHost(t, s.nextReady(t).PID)
	s.stop(t, syscall.SIGTERM)
}

// hosts are this place's `snakepit serve` processes.
func (p *place) hosts(t *testing.T) []process {
	t.Helper()
	var hosts []process
	for x, line := range p.processes(t) {
		if strings.Contains(line, " serve ") {
			hosts = append(hosts, x)
		}
	}
	return hosts
}

func TestAnUpgradeThatCannotBeLeavesTheHostAsItWas(t *testing.T) {
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	adapter := p.adapter(t, "upgrade.py")
	s := p.serve(t, adapter+":Counters", "--data-dir", data, "-o", "json")
	ready := decode[readyLine](t, s.ready)
	before := p.workerPIDs(t, data)
	if err := os.Remove(adapter); err != nil {
		t.Fatal(err)
	}
	out := p.run(t, "upgrade", "--data-dir", data)
	if out.code != 1 || !strings.Contains(out.stderr, "start_failed") || !strings.Contains(out.stderr, "this one goes on") {
		t.Errorf("exit %d, %s; want start_failed", out.code, out.stderr)
	}
	if after := p.workerPIDs(t, data); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("workers %v, want %v", after, before)
	}
	status := p.run(t, "status", "--data-dir", data, "-o", "json")
	var st readyLine
	if err := json.Unmarshal([]byte(status.stdout), &st); err != nil || st.PID != ready.PID {
		t.Errorf("process %d answers, want %d: %v", st.PID, ready.PID, err)
	}
}

func TestSIGUSR2Upgrades(t *testing.T) {
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	s := p.serve(t, p.adapter(t, "upgrade.py")+":Counters", "--data-dir", data, "-o", "json")
	ready := decode[readyLine](t, s.ready)
	if err := s.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	next := s.nextReady(t)
	if next.PID == ready.PID || next.Workers != 2 {
		t.Errorf("ready is %+v, after %+v", next, ready)
	}
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("the old host ended with %d", code)
	}
	lock, err := os.ReadFile(filepath.Join(data, "lock"))
	if err != nil || strings.TrimSpace(string(lock)) != strconv.Itoa(next.PID) {
		t.Errorf("the lock names %q, want %d", lock, next.PID)
	}
	p.stopHost(t, next.PID)
}
