package shim

import (
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

// strayTime is how long a stray may take to die of SIGKILL.
const strayTime = time.Second

// StaleCgroups finds the cgroups, below our own, of this user's guards that are gone.
// Those with a process that can't be seen from here aren't among them.
func StaleCgroups() []StaleCgroup {
	root, err := cgroupRoot()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(root) // none: it has just gone
	var all []StaleCgroup
	for _, e := range entries {
		c := StaleCgroup{Path: filepath.Join(root, e.Name())}
		if guard, ok := guardOf(e.Name()); ok && !lives(guard) && isOurs(c.Path) && c.look() {
			all = append(all, c)
		}
	}
	return all
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
	seen := true
	_ = filepath.WalkDir(c.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "cgroup.procs" {
			return nil //nolint:nilerr // it's just going
		}
		for _, pid := range procsIn(path) {
			if pid == 0 { // somebody in a PID namespace that isn't below ours
				seen = false
				continue
			}
			id, err := proc.Identify(pid)
			if err != nil {
				continue // it has ended
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
		c.Strays[i].end()
	}
	return removeCgroups(c.Path)
}

func (s *Stray) end() {
	p, err := proc.Pin(s.ID)
	if err != nil {
		s.Alive = !errors.Is(err, proc.ErrGone)
		return
	}
	defer p.Close()
	if !slices.Contains(procsIn(s.file), s.PID) {
		return // it has moved
	}
	if p.Signal(unix.SIGKILL) == nil {
		s.Alive = !p.Exited(strayTime)
	}
}
