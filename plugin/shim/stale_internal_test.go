//go:build linux

package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestCgroupsOfGuardsThatAreGoneAreRemoved(t *testing.T) {
	t.Parallel()
	root, err := cgroupRoot()
	if err != nil {
		t.Skipf("no cgroup v2: %v", err)
	}
	sleeper := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill() // its end is what counts
		_ = sleeper.Wait()
	}()
	stranger := filepath.Join(root, guardCgroup(sleeper.Process.Pid)) // a pid that was used again
	other := stranger + "-x"
	for _, dir := range []string{stranger, filepath.Join(stranger, "w0"), other} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("cgroups can't be made here: %v", err)
		}
		defer func() { _ = os.Remove(dir) }()
	}

	inside := filepath.Join(stranger, "w0", "cgroup.procs")
	if err := os.WriteFile(inside, []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(removeStale(root, false), stranger) {
		t.Error("a cgroup with a process in it counts as stale")
	}
	if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(removeStale(root, true), stranger) {
		t.Error("a dry run doesn't find it")
	}
	if _, err := os.Stat(inside); err != nil {
		t.Errorf("a dry run removed it: %v", err)
	}
	if !slices.Contains(removeStale(root, false), stranger) {
		t.Error("it isn't removed")
	}
	if _, err := os.Stat(stranger); !os.IsNotExist(err) {
		t.Errorf("it's still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a folder with another kind of name: %v", err)
	}
}
