package shim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoot is the folder of our own cgroup v2; an error where there is none.
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
			return filepath.Join(mount, path), nil
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

// cgroups is the folder with a cgroup for each worker. A nil one is that of a
// system without.
type cgroups struct{ dir string }

// openCgroups makes the folder, below our own cgroup; nil where that can't be written.
func openCgroups(guard int) *cgroups {
	root, err := cgroupRoot()
	if err != nil {
		return nil
	}
	dir := filepath.Join(root, guardCgroup(guard))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil
	}
	for _, file := range []string{"cgroup.kill", "cgroup.freeze"} {
		if unix.Access(filepath.Join(dir, file), unix.W_OK) != nil {
			_ = os.Remove(dir) // it's empty
			return nil
		}
	}
	return &cgroups{dir}
}

// cgroup is one worker's. A nil one does nothing.
type cgroup struct {
	dir    string
	handle *os.File // for the fork into it
}

func (c *cgroups) open(name string) *cgroup {
	if c == nil {
		return nil
	}
	dir := filepath.Join(c.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		_ = os.Remove(dir) // it's empty
		return nil
	}
	return &cgroup{dir, f}
}

// kill ends every process in it, whatever session it moved to.
func (c *cgroup) kill() {
	if c != nil {
		_ = c.write("cgroup.kill", "1") // the group and the tree are killed as well
	}
}

// freeze stops every process in it, or lets them go on.
func (c *cgroup) freeze(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return c.write("cgroup.freeze", value)
}

func (c *cgroup) write(file, value string) error {
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(value), 0); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// remove removes an empty one. The kernel refuses while a process in it isn't
// reaped: the pair's end tries again.
func (c *cgroup) remove() {
	if c != nil {
		_ = c.handle.Close() // only read
		_ = os.Remove(c.dir) // see above
	}
}

// removeCgroups removes the folder of a guard's workers, once they are gone.
func removeCgroups(guard int) {
	root, err := cgroupRoot()
	if err != nil {
		return
	}
	dir := filepath.Join(root, guardCgroup(guard))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name())) // not empty: somebody is in state D
		}
	}
	_ = os.Remove(dir) // as above
}
