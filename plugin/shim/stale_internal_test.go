//go:build linux

package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// staleOf is what is found of one cgroup.
func staleOf(path string) *StaleCgroup {
	for _, c := range StaleCgroups() {
		if c.Path == path {
			return &c
		}
	}
	return nil
}

func TestCgroupsOfGuardsThatAreGoneAreSwept(t *testing.T) {
	t.Parallel()
	root, err := cgroupRoot()
	if err != nil {
		t.Skipf("no cgroup v2: %v", err)
	}
	stray, moves := sleeper(t), sleeper(t)
	stale := filepath.Join(root, cgroupName(proc.ID{PID: stray, Start: 1})) // its guard's pid was used again
	for _, dir := range []string{stale, filepath.Join(stale, "w0"), filepath.Join(stale, "w1"), stale + "-x"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("cgroups can't be made here: %v", err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	move(t, stray, filepath.Join(stale, "w0"))
	move(t, moves, filepath.Join(stale, "w1"))

	found := staleOf(stale)
	if found == nil || len(found.Strays) != 2 || !found.Strays[0].Alive {
		t.Fatalf("found %+v, want two strays", found)
	}
	move(t, moves, root)
	if !found.Sweep() || found.Strays[0].Alive {
		t.Errorf("swept: %+v", found)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("it's still there: %v", err)
	}
	if running(stray) || !running(moves) {
		t.Errorf("alive: the stray %v, who moved away %v", running(stray), running(moves))
	}
	if staleOf(stale+"-x") != nil {
		t.Error("a folder with another kind of name counts")
	}
}

func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	start(t, cmd)
	return cmd.Process.Pid
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
}

func move(t *testing.T, pid int, cgroup string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}

func running(pid int) bool {
	s, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && len(s) > 0 && !containsState(s, 'Z')
}

func containsState(stat []byte, state byte) bool {
	for i := len(stat) - 1; i > 1; i-- {
		if stat[i] == ')' {
			return stat[i+2] == state
		}
	}
	return false
}
