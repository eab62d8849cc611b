package shim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// cgroupRoot is the cgroup v2 in which our folders are; an error where there is none.
func cgroupRoot() (string, error) {
	mount, err := cgroupMount()
	if err != nil {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return cgroupHome(filepath.Join(mount, path)), nil
		}
	}
	return "", errors.New("no cgroup v2")
}

// cgroupMount finds where cgroup v2 is mounted: the fifth field of a line of
// mountinfo whose part behind " - " begins with cgroup2.
func cgroupMount() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	for sc := bufio.NewScanner(f); sc.Scan(); {
		before, after, ok := strings.Cut(sc.Text(), " - ")
		if fields := strings.Fields(before); ok && len(fields) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			return fields[4], nil
		}
	}
	return "", errors.New("cgroup v2 isn't mounted")
}

// cgroupMode is that of the folders: only their owner is to move processes.
const cgroupMode = 0o700

// cgroups is the folder with a cgroup for each worker. A nil one is that of a
// system without.
type cgroups struct {
	dir   string
	next  int
	stale []string // couldn't be removed yet

	enabled map[string]bool // the controllers that were asked for: whether there are any
}

// openCgroups makes a pair's folder below our own cgroup; nil where that can't be written.
func openCgroups(name string) *cgroups {
	root, err := cgroupRoot()
	if err != nil {
		return nil
	}
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, cgroupMode); err != nil {
		return nil
	}
	for _, file := range []string{"cgroup.kill", "cgroup.freeze"} {
		if unix.Access(filepath.Join(dir, file), unix.W_OK) != nil {
			_ = os.Remove(dir) // it's empty
			return nil
		}
	}
	return &cgroups{dir: dir}
}

// cgroup is one worker's. A nil one does nothing.
type cgroup struct {
	of     *cgroups
	dir    string
	handle *os.File // for the fork into it
}

func (c *cgroups) open() *cgroup {
	if c == nil {
		return nil
	}
	dir := filepath.Join(c.dir, fmt.Sprintf("w%d", c.next))
	c.next++
	if err := os.Mkdir(dir, cgroupMode); err != nil {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		_ = os.Remove(dir) // it's empty
		return nil
	}
	return &cgroup{c, dir, f}
}

// take moves a process that is there already into it.
func (c *cgroup) take(pid int) error { return writeCgroup(c.dir, "cgroup.procs", strconv.Itoa(pid)) }

// kill ends every process in it, whatever session it moved to.
func (c *cgroup) kill() {
	if c != nil {
		_ = writeCgroup(c.dir, "cgroup.kill", "1") // the group and the tree are killed as well
	}
}

// freeze stops every process in it, or lets them go on.
func (c *cgroup) freeze(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return writeCgroup(c.dir, "cgroup.freeze", value)
}

func writeCgroup(dir, file, value string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// remove removes an empty one. The kernel refuses while somebody killed in it hasn't
// quite ended: the next one to be removed tries again, and so does the pair's end.
func (c *cgroup) remove() {
	if c == nil {
		return
	}
	_ = c.handle.Close() // only read
	var stale []string
	for _, dir := range append(c.of.stale, c.dir) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			stale = append(stale, dir)
		}
	}
	c.of.stale = stale
}

// cgroupName names the folder of a guard's workers after the guard, so that it's
// told from every other that lives or has lived on this machine.
func cgroupName(guard proc.ID) string {
	var ns unix.Stat_t
	_ = unix.Stat("/proc/self/ns/pid", &ns) // zero: then pids of other namespaces look like ours, as ever
	return fmt.Sprintf("snakepit-%d-%d-%d", ns.Ino, guard.PID, guard.Start)
}

// guardOf reads whose folder it is, if it's a guard's of our PID namespace.
func guardOf(name string) (guard proc.ID, ok bool) {
	var ns uint64
	n, err := fmt.Sscanf(name, "snakepit-%d-%d-%d", &ns, &guard.PID, &guard.Start)
	return guard, err == nil && n == 3 && cgroupName(guard) == name
}

// removeCgroups removes the folder of a guard's workers, once they are gone, and
// reports whether it's gone too.
func removeCgroups(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return true
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name())) // not empty: somebody is in state D
		}
	}
	return os.Remove(dir) == nil
}

// sweepCgroups kills whoever is left of pairs that were killed whole, and removes
// their folders. A process in such a folder descends from that pair's workers.
func sweepCgroups() {
	root, err := cgroupRoot()
	if err != nil {
		return
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, e := range entries {
		if guard, ok := guardOf(e.Name()); ok && !lives(guard) {
			sweepCgroup(filepath.Join(root, e.Name()))
		}
	}
}

func lives(id proc.ID) bool {
	s, err := proc.Read(id.PID)
	return err == nil && s.ID == id && !s.Dead()
}

func sweepCgroup(dir string) {
	const rounds = 100
	for range rounds {
		if writeCgroup(dir, "cgroup.kill", "1") != nil || removeCgroups(dir) {
			return // it's another user's, or gone
		}
		time.Sleep(time.Millisecond) // they are being killed
	}
}
