//go:build integration && linux

package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/integration/program"
)

// swept is what `cleanup -o json` prints.
type swept struct {
	DryRun  bool `json:"dry_run"`
	Folders []sweptFolder
	Cgroups []struct{ Path string } // those of other tests too
}

type sweptFolder struct {
	State, Note string
	DataDir     string `json:"data_dir"`
	RunDir      string `json:"run_dir"`
	HostPID     int    `json:"host_pid"`
	Processes   []sweptProcess
	Removed     []string
	Records     []string
}

type sweptProcess struct {
	PID                     int
	Command, Token, Outcome string
}

// cleanup runs it, and wants it to succeed.
func (p *place) cleanup(t *testing.T, args ...string) []sweptFolder {
	t.Helper()
	got := p.run(t, append([]string{"cleanup", "-o", "json"}, args...)...)
	if got.code != 0 {
		t.Fatalf("exit %d, %s%s", got.code, got.stdout, got.stderr)
	}
	return decode[swept](t, got.stdout).Folders
}

// trio are a host's own process, its guard and its shim.
func trio(t *testing.T, host int) []process {
	t.Helper()
	own, ok := identify(host)
	if !ok {
		t.Fatalf("host %d isn't alive", host)
	}
	guard := childNamed(t, host, "snakepit-guard")
	return []process{guard, childNamed(t, guard.pid, "snakepit-shim"), own}
}

func childNamed(t *testing.T, parent int, name string) process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // none: it has gone
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if !bytes.HasPrefix(line, []byte(name+"\x00")) || len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, _ := strconv.Atoi(e.Name())
		if x, ok := identify(pid); ok {
			return x
		}
	}
	t.Fatalf("process %d has no child %s", parent, name)
	return process{}
}

// killAtOnce stops processes before it kills them, so that none sees another's end.
func killAtOnce(t *testing.T, all []process) {
	t.Helper()
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, x := range all {
			if !x.alive() {
				t.Fatalf("process %d has ended", x.pid)
			}
			if err := syscall.Kill(x.pid, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// awaitDeath waits until nobody keeps a folder's workers any more: the threads of a
// killed process end one by one.
func (p *place) awaitDeath(t *testing.T) {
	t.Helper()
	eventually(t, "guard or shim outlives SIGKILL", func() bool {
		for _, f := range p.cleanup(t, "--dry-run") {
			if f.State == "waiting" || f.State == "abandoned" && len(f.Processes) > 1 { // more than who escaped
				return false
			}
		}
		return true
	})
}

// escapee is a process that got away from its worker; it's killed with the test.
func escapee(t *testing.T, pid string) process {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	x, ok := identify(n)
	if !ok {
		t.Fatalf("process %d isn't alive", n)
	}
	t.Cleanup(func() {
		if x.alive() {
			_ = syscall.Kill(x.pid, syscall.SIGKILL) // it may just have ended
		}
	})
	return x
}

func TestCleanupEndsWhatOutlivedHostGuardAndShim(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "escape.py")
	lives := p.serve(t, adapter, "--workers", "1")
	// Without cgroups, or another test's cleanup would find what is left.
	dies := p.serve(t, adapter, "--workers", "2", "--instance", "b", "--set", "cgroups=off")
	ours := escapee(t, p.run(t, "call", "escape", "--instance", "b").stdout)
	neighbour := escapee(t, p.run(t, "call", "escape").stdout)
	stranger := p.stranger(t)

	killAtOnce(t, trio(t, dies.cmd.Process.Pid))
	dies.stop(t, syscall.SIGKILL) // reaps it
	p.awaitDeath(t)
	if !ours.alive() {
		t.Fatal("the escaped process didn't outlive its host: there's nothing to sweep")
	}

	dry := p.cleanup(t, "--dry-run")
	p.wantFolders(t, dry, map[string]string{"snakepit": "live", "snakepit/instances/b": "abandoned"})
	dead := dry[1]
	if diff := cmp.Diff([]int{ours.pid}, pidsOf(dead)); diff != "" || dead.Processes[0].Outcome != "would_end" || len(dead.Records) != 2 {
		t.Errorf("%+v", dead)
	}
	if diff := cmp.Diff(dry, p.cleanup(t, "--dry-run")); diff != "" || !ours.alive() {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	if folders := p.cleanup(t, "--instance", "c"); len(folders) > 0 || !ours.alive() {
		t.Errorf("another instance: %+v", folders)
	}

	dead = p.cleanup(t)[1]
	if len(dead.Processes) != 1 || dead.Processes[0].Outcome != "ended" || ours.alive() {
		t.Errorf("%+v", dead)
	}
	for _, path := range dead.Removed {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if !neighbour.alive() || !stranger.alive() {
		t.Errorf("the neighbour lives: %v, the stranger: %v", neighbour.alive(), stranger.alive())
	}
	p.wantFolders(t, p.cleanup(t), map[string]string{"snakepit": "live"})
	if got := p.run(t, "status", "-o", "json"); !strings.Contains(got.stdout, fmt.Sprintf(`"pid": %d`, lives.cmd.Process.Pid)) {
		t.Errorf("the live host: %+v", got)
	}
}

// stranger is a process with the token of an instance that nobody here has.
func (p *place) stranger(t *testing.T) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	cmd.Env = append(os.Environ(), "SNAKEPIT_WORKER_TOKEN="+strings.Repeat("0f", 16))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it's alive, unless the test has failed
		_ = cmd.Wait()
	})
	return mustIdentify(cmd.Process.Pid)
}

// wantFolders compares the states of data directories, named below the state folder.
func (p *place) wantFolders(t *testing.T, got []sweptFolder, want map[string]string) {
	t.Helper()
	states := map[string]string{}
	for _, f := range got {
		name, err := filepath.Rel(filepath.Join(p.dir, "state"), f.DataDir)
		if err != nil {
			t.Error(err)
		}
		states[name] = f.State
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func pidsOf(f sweptFolder) []int {
	var pids []int
	for _, x := range f.Processes {
		pids = append(pids, x.PID)
	}
	return pids
}

func byPID(all []process) map[int]process {
	m := map[int]process{}
	for _, x := range all {
		m[x.pid] = x
	}
	return m
}

func TestCleanupBesideALiveHostTouchesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.serve(t, p.adapter(t, "escape.py"), "--workers", "1")
	workers := p.liveWorkers(t, 1)
	escaped := escapee(t, p.run(t, "call", "escape").stdout)
	for _, args := range [][]string{nil, {"--data-dir", filepath.Join(p.dir, "state", "snakepit")}} {
		folders := p.cleanup(t, args...)
		p.wantFolders(t, folders, map[string]string{"snakepit": "live"})
		if f := folders[0]; f.HostPID != s.cmd.Process.Pid || len(f.Processes)+len(f.Removed)+len(f.Records) > 0 {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff(byPID(workers), byPID(p.liveWorkers(t, 1)), cmp.AllowUnexported(process{})); diff != "" || !escaped.alive() {
		t.Errorf("its processes changed:\n%s", diff)
	}
	if got := p.run(t, "cleanup"); got.code != 0 || !strings.Contains(got.stdout, fmt.Sprintf("process %d has it", s.cmd.Process.Pid)) {
		t.Errorf("%+v", got)
	}
	if code := s.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
	if folders := p.cleanup(t); len(folders) > 0 {
		t.Errorf("after a clean end: %+v", folders)
	}
}

func TestCleanupDuringTheGraceLeavesTheWorkersToTheNextHost(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "escape.py")
	s := p.serve(t, adapter, "--set", "orphan_grace=10m")
	workers := p.liveWorkers(t, 2)
	s.stop(t, syscall.SIGKILL)

	folders := p.cleanup(t)
	p.wantFolders(t, folders, map[string]string{"snakepit": "waiting"})
	for _, x := range folders[0].Processes {
		if x.Outcome != "kept" {
			t.Errorf("%+v", x)
		}
	}
	if len(folders[0].Processes) != 2 || len(folders[0].Removed) > 0 {
		t.Errorf("%+v", folders[0])
	}
	if got := p.run(t, "cleanup"); !strings.Contains(got.stdout, "waiting: ") || !strings.Contains(got.stdout, "orphan_grace") {
		t.Errorf("%+v", got)
	}
	p.serve(t, adapter)
	if diff := cmp.Diff(byPID(workers), byPID(p.liveWorkers(t, 2)), cmp.AllowUnexported(process{})); diff != "" {
		t.Errorf("the next host has other workers:\n%s", diff)
	}
}

func TestCleanupSweepsACallThatWasKilledWithItsGuardians(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	told := filepath.Join(p.dir, "told")
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	call := p.command(ctx, "call", "linger", "path="+told, "--adapter", p.adapter(t, "escape.py"), "--set", "python="+program.Python(t), "--set", "cgroups=off")
	if err := call.Start(); err != nil {
		t.Fatal(err)
	}
	var pid []byte
	eventually(t, "the tool doesn't run", func() bool { pid, _ = os.ReadFile(told); return len(pid) > 0 })
	ours := escapee(t, string(pid))
	killAtOnce(t, trio(t, call.Process.Pid))
	_ = call.Wait() // it was killed
	p.awaitDeath(t)

	folders := p.cleanup(t)
	if len(folders) != 1 || folders[0].State != "abandoned" || folders[0].DataDir != "" || ours.alive() {
		t.Errorf("%+v", folders)
	}
	p.wantNoFolders(t)
}

func TestCleanupFindsByItsCgroupWhatCarriesNoToken(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.serve(t, p.adapter(t, "escape.py"), "--workers", "1")
	ours := escapee(t, p.run(t, "call", "escape", "bare=true").stdout)
	all := trio(t, s.cmd.Process.Pid)
	groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(ours.pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(groups), fmt.Sprintf("/snakepit-%d/", all[0].pid)) {
		t.Skip("no cgroup can be made here")
	}
	killAtOnce(t, all)
	s.stop(t, syscall.SIGKILL)
	p.awaitDeath(t)
	p.cleanup(t)
	eventually(t, "the process lives on", func() bool { return !ours.alive() }) // another test's cleanup may be at it
}

func TestInstancesLiveBesideEachOther(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "functions.py")
	first := p.serve(t, adapter, "--workers", "1")
	got := p.run(t, "serve", "--adapter", adapter, "--set", "python="+program.Python(t))
	for _, want := range []string{"belongs to a live host, process " + strconv.Itoa(first.cmd.Process.Pid), "--instance NAME"} {
		if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("a second host: %+v, want %q", got, want)
		}
	}
	second := p.serve(t, adapter, "--workers", "1", "--instance", "b")
	for instance, s := range map[string]*server{"": first, "b": second} {
		if got := p.run(t, "status", "-o", "json", "--instance", instance); !strings.Contains(got.stdout, fmt.Sprintf(`"pid": %d,`, s.cmd.Process.Pid)) {
			t.Errorf("status of instance %q: %+v", instance, got)
		}
		if got := p.run(t, "call", "twice", "n=2", "--instance", instance); got.stdout != "4\n" {
			t.Errorf("a call on instance %q: %+v", instance, got)
		}
	}
	if words := p.run(t, "__complete", "status", "--instance", ""); !strings.HasPrefix(words.stdout, "b\n") {
		t.Errorf("completion: %+v", words)
	}
	if code := first.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, first.stderr)
	}
	if got := p.run(t, "call", "twice", "n=2", "--instance", "b"); got.stdout != "4\n" {
		t.Errorf("after the end of the first: %+v", got)
	}
}
