package shim

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ApplyLimits holds a process of our user, and what it starts from now on, to
// limits by rlimits alone, and says what has become of each.
func ApplyLimits(pid int, l Limits) []Limit { return applyLimits(pid, nil, l) }

// applyLimits holds a process to limits: by its cgroup where that has the
// controllers, which counts all that the worker starts as one, else by rlimits, which
// count each process by itself. The process may run already: what it has is its own,
// and what it asks for from now on is refused.
func applyLimits(pid int, c *cgroup, l Limits) []Limit {
	var out []Limit
	if l.Memory > 0 {
		out = append(out, limitBy(LimitMemory, c.limitMemory(l.Memory), func() error {
			// The data segment, not the address space: runtimes reserve far more of that than they use.
			return setRlimit(pid, unix.RLIMIT_DATA, uint64(l.Memory)) //nolint:gosec // positive
		}))
	}
	if l.OpenFiles > 0 {
		out = append(out, limitBy(LimitOpenFiles, errNoController, func() error {
			return setRlimit(pid, unix.RLIMIT_NOFILE, uint64(l.OpenFiles)) //nolint:gosec // positive
		}))
	}
	if l.Processes > 0 {
		out = append(out, limitBy(LimitProcesses, c.limitProcesses(l.Processes), func() error {
			if unbound() {
				return errors.New("root isn't held to a number of processes, and there's no cgroup with the controller pids")
			}
			return setRlimit(pid, unix.RLIMIT_NPROC, uint64(l.Processes)) //nolint:gosec // positive
		}))
	}
	if l.CPU > 0 {
		out = append(out, limitBy(LimitCPU, c.limitCPU(l.CPU), func() error {
			return errors.New("there's no cgroup with the controller cpu")
		}))
	}
	return out
}

// limitBy tries an rlimit where the cgroup can't do it.
func limitBy(what string, cgroup error, rlimit func() error) Limit {
	if cgroup == nil {
		return Limit{What: what, By: ByCgroup}
	}
	err := rlimit()
	switch {
	case err == nil:
		return Limit{What: what, By: ByRlimit}
	case !errors.Is(cgroup, errNoController):
		err = fmt.Errorf("%w; %w", cgroup, err)
	}
	return Limit{What: what, Why: err.Error()}
}

// setRlimit sets both the soft and the hard limit: a worker can't raise it again. Of more
// than it may have it gets what it may, and that is reported.
func setRlimit(pid, resource int, n uint64) error {
	err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
	if errors.Is(err, unix.EPERM) {
		var own unix.Rlimit
		if unix.Prlimit(pid, resource, nil, &own) == nil && own.Max < n {
			own.Cur = own.Max
			return errors.Join(fmt.Errorf("its user may have at most %d: %w", own.Max, err), unix.Prlimit(pid, resource, &own, nil))
		}
	}
	return err
}

// unbound tells whether the kernel lets our user have any number of processes: it
// does for root, but not for the root of a user namespace.
func unbound() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	return os.Getuid() == 0 && (err != nil || slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}))
}
