package shim

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// guardCgroupPrefix is what the name of every guard's cgroup begins with.
	guardCgroupPrefix = "snakepit-"
	// strayTime is how long a stray may take to die of SIGKILL.
	strayTime = time.Second
)

// StaleCgroups finds the cgroups, below our own, of this user's guards that are gone.
// Those that a process of another PID namespace is in aren't among them: there the
// guard's pid means another process.
func StaleCgroups() []StaleCgroup {
	root, err := cgroupRoot()
	if err != nil {
		return nil
	}
	dirs, _ := filepath.Glob(filepath.Join(root, guardCgroupPrefix+"*")) // the pattern is sound
	var all []StaleCgroup
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), guardCgroupPrefix))
		if err != nil || pid <= 0 || isGuard(pid) || !isOurs(dir) {
			continue
		}
		c := StaleCgroup{Path: dir, guard: pid}
		if c.look() {
			all = append(all, c)
		}
	}
	return all
}

// isGuard reports whether a process was started as a guard, by whichever host.
func isGuard(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && bytes.HasPrefix(line, []byte(guardName+"\x00"))
}

func isOurs(dir string) bool {
	st, err := os.Stat(dir)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Getuid()
}

// look finds the strays, and reports whether all of them can be seen from here.
func (c *StaleCgroup) look() bool {
	c.Strays = nil
	namespace := proc.PIDNamespace()
	seen := true
	_ = filepath.WalkDir(c.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "cgroup.procs" {
			return nil //nolint:nilerr // it's just going
		}
		for _, pid := range procsIn(path) {
			ns, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid") // pid 0 is somebody elsewhere
			id, gone := proc.Identify(pid)
			if pid != 0 && gone != nil {
				continue
			}
			if err != nil || ns != namespace {
				seen = false
				continue
			}
			c.Strays = append(c.Strays, Stray{ID: id, Command: proc.CommandLine(pid), Alive: true, file: path})
		}
		return nil
	})
	return seen
}

func procsIn(file string) []int {
	list, _ := os.ReadFile(file) // none: it's gone
	var pids []int
	for word := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Sweep ends the strays and removes the cgroup, and reports whether it's gone. Each
// stray is pinned, and then looked for in the cgroup once more, before it's killed.
func (c *StaleCgroup) Sweep() bool {
	for i := range c.Strays {
		c.Strays[i].end(c.guard)
	}
	entries, _ := os.ReadDir(c.Path) // none: it's gone
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(c.Path, e.Name())) // the kernel refuses where somebody is in it
		}
	}
	return os.Remove(c.Path) == nil
}

func (s *Stray) end(guard int) {
	p, err := proc.Pin(s.ID)
	if err != nil {
		s.Alive = !errors.Is(err, proc.ErrGone)
		return
	}
	defer p.Close()
	if isGuard(guard) || !slices.Contains(procsIn(s.file), s.PID) {
		return // it has moved, or the pid is another guard's by now
	}
	if p.Signal(unix.SIGKILL) == nil {
		s.Alive = !p.Exited(strayTime)
	}
}
