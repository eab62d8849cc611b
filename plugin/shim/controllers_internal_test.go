//go:build linux

package shim

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// tree makes files that look like a part of the cgroup file system.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// written are the files of a worker's cgroup.
func written(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

func openIn(t *testing.T, root string) (*cgroups, *cgroup) {
	t.Helper()
	all := &cgroups{dir: filepath.Join(root, "pair")}
	c := all.open()
	if c == nil {
		t.Fatal("no cgroup")
	}
	t.Cleanup(func() { _ = c.handle.Close() })
	return all, c
}

func everything() Limits {
	return Limits{Memory: 64 << 20, OpenFiles: 100, Processes: 20, CPU: 1.5}
}

func TestDelegatedControllersHoldTheWorkerToItsLimits(t *testing.T) {
	root := tree(t, map[string]string{
		"cgroup.controllers": "cpuset cpu memory pids", "cgroup.subtree_control": "memory",
		"pair/cgroup.controllers": "cpu memory pids", "pair/cgroup.subtree_control": "",
	})
	_, c := openIn(t, root)
	pid := idler(t)
	by := map[string]string{}
	for _, l := range applyLimits(pid, c, everything()) {
		by[l.What] = l.By + l.Why
	}
	want := map[string]string{LimitMemory: ByCgroup, LimitProcesses: ByCgroup, LimitCPU: ByCgroup, LimitOpenFiles: ByRlimit}
	if diff := cmp.Diff(want, by); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{
		"memory.max": "67108864", "memory.oom.group": "1", "memory.swap.max": "0", "pids.max": "20", "cpu.max": "150000 100000",
	}, written(t, c.dir)); diff != "" {
		t.Error(diff)
	}
	if data := rlimit(t, pid, unix.RLIMIT_DATA); data != unix.RLIM_INFINITY {
		t.Errorf("RLIMIT_DATA is %d beside the cgroup's limit", data)
	}
}

func TestControllersAreAskedForOnlyOnce(t *testing.T) {
	root := tree(t, map[string]string{
		"cgroup.controllers": "memory", "cgroup.subtree_control": "memory",
		"pair/cgroup.controllers": "", "pair/cgroup.subtree_control": "",
	})
	all, c := openIn(t, root)
	if err := c.limitMemory(1 << 20); !errors.Is(err, errNoController) {
		t.Errorf("a limit without a controller gives %v", err)
	}
	if diff := cmp.Diff(map[string]bool{"memory": false}, maps.Clone(all.enabled)); diff != "" {
		t.Error(diff)
	}
	if got := written(t, c.dir); len(got) != 0 {
		t.Errorf("written all the same: %v", got)
	}
}

func TestRlimitsStepInForControllersThatAreMissing(t *testing.T) {
	root := tree(t, map[string]string{
		"cgroup.controllers": "", "cgroup.subtree_control": "", "pair/cgroup.controllers": "", "pair/cgroup.subtree_control": "",
	})
	_, c := openIn(t, root)
	for name, cg := range map[string]*cgroup{"no controllers": c, "no cgroup": nil} {
		pid := idler(t)
		by := map[string]string{}
		for _, l := range applyLimits(pid, cg, everything()) {
			by[l.What] = l.By
			if (l.By == "") == (l.Why == "") {
				t.Errorf("%s: %+v", name, l)
			}
		}
		want := map[string]string{LimitMemory: ByRlimit, LimitOpenFiles: ByRlimit, LimitProcesses: ByRlimit, LimitCPU: ""}
		if unbound() {
			want[LimitProcesses] = ""
		}
		if diff := cmp.Diff(want, by); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got := rlimit(t, pid, unix.RLIMIT_DATA); got != 64<<20 {
			t.Errorf("%s: RLIMIT_DATA is %d", name, got)
		}
		if got := rlimit(t, pid, unix.RLIMIT_NOFILE); got != 100 {
			t.Errorf("%s: RLIMIT_NOFILE is %d", name, got)
		}
	}
}

func TestKernelsKillForMemoryIsToldFromOthers(t *testing.T) {
	for events, want := range map[string]bool{
		"low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n": true,
		"low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\n":                   false,
		"": false,
	} {
		root := tree(t, map[string]string{"pair/w0/memory.events": events})
		c := &cgroup{of: &cgroups{enabled: map[string]bool{controllerMemory: true}}, dir: filepath.Join(root, "pair/w0")}
		if got := c.overMemory(); got != want {
			t.Errorf("%q: %v", events, got)
		}
		c.of.enabled = nil // it has no limit of ours
		if c.overMemory() {
			t.Errorf("%q: without a limit", events)
		}
	}
}

func TestDelegatedCgroupAboveIsOurHome(t *testing.T) {
	root := tree(t, map[string]string{"service/cgroup.procs": "", "service/leaf/cgroup.procs": "1"})
	service, leaf := filepath.Join(root, "service"), filepath.Join(root, "service", "leaf")
	if got := cgroupHome(leaf); got != leaf {
		t.Errorf("%s, which nobody has delegated", got)
	}
	if err := unix.Setxattr(service, "user.delegate", []byte("1"), 0); err != nil {
		t.Skipf("this file system has no extended attributes: %v", err)
	}
	if got := cgroupHome(leaf); got != service {
		t.Errorf("%s, want the delegated %s", got, service)
	}
	if got := cgroupHome(service); got != service {
		t.Errorf("%s, want the delegated one itself", got)
	}
}
