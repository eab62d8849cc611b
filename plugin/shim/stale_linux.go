package shim

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// RemoveStaleCgroups removes the cgroups, below our own, of guards that are gone, and
// returns their paths; with dryRun it only looks. A cgroup with a process in it stays.
func RemoveStaleCgroups(dryRun bool) []string {
	root, err := cgroupRoot()
	if err != nil {
		return nil
	}
	return removeStale(root, dryRun)
}

func removeStale(root string, dryRun bool) []string {
	dirs, _ := filepath.Glob(filepath.Join(root, guardCgroupPrefix+"*")) // the pattern is sound
	return slices.DeleteFunc(dirs, func(dir string) bool {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), guardCgroupPrefix))
		if err != nil || pid <= 0 || isGuard(pid) || !unpopulated(dir) {
			return true
		}
		return !dryRun && !removeCgroupTree(dir)
	})
}

// isGuard reports whether a process was started as a guard, by whichever host.
func isGuard(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && bytes.HasPrefix(line, []byte(guardName+"\x00"))
}

// unpopulated reports whether no process is in a cgroup or below it.
func unpopulated(dir string) bool {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err == nil && bytes.Contains(events, []byte("populated 0"))
}

// removeCgroupTree removes a guard's cgroup with those of its workers, and reports
// whether it's gone. The kernel refuses where a process has come meanwhile.
func removeCgroupTree(dir string) bool {
	entries, _ := os.ReadDir(dir) // it may be gone by now
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name())) // see above
		}
	}
	return os.Remove(dir) == nil
}

// guardCgroupPrefix is what the name of every guard's cgroup begins with.
const guardCgroupPrefix = "snakepit-"
