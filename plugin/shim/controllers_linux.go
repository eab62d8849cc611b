package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The controllers of cgroup v2 that limits need.
const (
	controllerMemory = "memory"
	controllerPIDs   = "pids"
	controllerCPU    = "cpu"
)

var errNoController = errors.New("there's no cgroup with the controller")

// cgroupHome is where our folders go: our own cgroup, or the one above when that was
// delegated and we are in a leaf of it (systemd's Delegate= and DelegateSubgroup=). Only a
// cgroup without processes of its own can have controllers for those below it.
func cgroupHome(own string) string {
	above := filepath.Dir(own)
	for _, attr := range []string{"user.delegate", "trusted.delegate"} {
		var value [1]byte
		n, err := unix.Getxattr(above, attr, value[:])
		if err == nil && n == 1 && value[0] == '1' && unix.Access(filepath.Join(above, "cgroup.procs"), unix.W_OK) == nil {
			return above
		}
	}
	return own
}

// enable has the workers' cgroups use a controller, and reports whether they do. It's
// tried once: what can't be had changes nothing, and nothing changes for who asks for no limits.
func (c *cgroups) enable(controller string) bool {
	if known, ok := c.enabled[controller]; ok {
		return known
	}
	if c.enabled == nil {
		c.enabled = map[string]bool{}
	}
	ok := passOn(filepath.Dir(c.dir), controller) && passOn(c.dir, controller)
	c.enabled[controller] = ok
	return ok
}

// passOn has a cgroup give a controller to those below it. The kernel refuses one that it
// hasn't got itself, and any while it has processes of its own.
func passOn(dir, controller string) bool {
	switch {
	case listed(dir, "cgroup.subtree_control", controller):
		return true
	case !listed(dir, "cgroup.controllers", controller):
		return false
	}
	return writeCgroup(dir, "cgroup.subtree_control", "+"+controller) == nil
}

func listed(dir, file, controller string) bool {
	text, _ := os.ReadFile(filepath.Join(dir, file)) // none: no controllers
	return slices.Contains(strings.Fields(string(text)), controller)
}

// set writes a limit of one of its controllers. A nil cgroup has none.
func (c *cgroup) set(controller, file, value string) error {
	if c == nil || !c.of.enable(controller) {
		return errNoController
	}
	return writeCgroup(c.dir, file, value)
}

// limitMemory bounds what all in it have together. Above it the kernel kills them all.
func (c *cgroup) limitMemory(bytes int64) error {
	err := c.set(controllerMemory, "memory.max", strconv.FormatInt(bytes, 10))
	if err == nil {
		_ = writeCgroup(c.dir, "memory.oom.group", "1") // older kernels take one of them
		_ = writeCgroup(c.dir, "memory.swap.max", "0")  // there may be no swap
	}
	return err
}

func (c *cgroup) limitProcesses(n int) error {
	return c.set(controllerPIDs, "pids.max", strconv.Itoa(n))
}

// cpuPeriod is what the kernel takes by default, in microseconds.
const cpuPeriod = 100_000

func (c *cgroup) limitCPU(cpus float64) error {
	const least = 1000 // microseconds that the kernel takes
	return c.set(controllerCPU, "cpu.max", fmt.Sprintf("%d %d", max(int64(cpus*cpuPeriod), least), cpuPeriod))
}

// overMemory tells whether the kernel has killed for its limit of memory. It's looked
// at before the cgroup is removed.
func (c *cgroup) overMemory() bool {
	if c == nil || !c.of.enabled[controllerMemory] {
		return false
	}
	events, _ := os.ReadFile(filepath.Join(c.dir, "memory.events")) // none: it's gone
	for line := range strings.Lines(string(events)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return n != "0"
		}
	}
	return false
}
