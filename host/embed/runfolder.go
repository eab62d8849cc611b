package embed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// ownerFile says which data directory a run folder belongs to; empty: a private host.
const ownerFile = "data-dir"

const (
	// lockPause is how often a lock is tried that is about to be given up.
	lockPause = 5 * time.Millisecond
	// sweepPatience is how long a host waits for a sweep of the folders that it wants.
	sweepPatience = 30 * time.Second
)

// sweep removes run folders whose host is gone and whose workers nobody keeps, and
// ends whoever of them is left all the same. Errors are left to whoever needs the name next.
func sweep(base string) {
	for _, dir := range runFolders(base) {
		held, state := claim(dir)
		if state != Abandoned {
			continue
		}
		if !anyAlive(plugin.Sweep(instanceOf(dir), nil, false)) {
			_ = os.RemoveAll(dir)
		}
		_ = held.release()
	}
}

func anyAlive(orphans []plugin.Orphan) bool {
	for _, o := range orphans {
		if o.Alive {
			return true
		}
	}
	return false
}

func runFolders(base string) []string {
	var all []string
	entries, _ := os.ReadDir(base) // none: there are no hosts
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, filepath.Join(base, e.Name()))
		}
	}
	return all
}

// claimed is the lock of a folder that is being swept. Whoever wants the folder waits
// for it. A nil one is that of a folder which nobody can want.
type claimed struct{ lock *os.File }

func (c *claimed) release() error {
	if c == nil {
		return nil
	}
	return unlock(c.lock)
}

// claim takes a run folder whose host is gone and whose workers nobody keeps; the
// state says whether it's one. Empty: it isn't a run folder, or is going away.
func claim(dir string) (*claimed, State) {
	if strings.HasPrefix(filepath.Base(dir), halfMade) {
		return claimHalfMade(dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return nil, ""
	}
	if lock(f) != nil {
		_ = f.Close() // only looked at
		return nil, Live
	}
	switch c := (&claimed{f}); {
	case !inPlace(f):
		_ = c.release() // it was removed meanwhile
		return nil, ""
	case shim.InUse(dir):
		_ = c.release() // its workers wait for another host
		return nil, Waiting
	default:
		return c, Abandoned
	}
}

// claimHalfMade takes a folder that a host didn't finish to make. Nobody looks for it
// under that name, so there is nothing to lock.
func claimHalfMade(dir string) (*claimed, State) {
	st, err := os.Stat(dir)
	if err != nil || time.Since(st.ModTime()) < halfMadeAge {
		return nil, ""
	}
	return nil, Abandoned
}

// inPlace reports whether an open file still is the one with its name.
func inPlace(f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(ours, named)
}

// takeOver locks a run folder of this data directory's last host, and waits for a
// sweep of it. It returns nil where there is no such folder.
func takeOver(run string) (*os.File, error) {
	for deadline := time.Now().Add(sweepPatience); ; time.Sleep(lockPause) {
		f, err := os.OpenFile(filepath.Join(run, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		err = lock(f)
		if err == nil && inPlace(f) {
			return f, nil
		}
		_ = f.Close() // nothing was written
		if err != nil && time.Now().After(deadline) {
			return nil, err
		}
	}
}

// instanceOf says whose workers a run folder's are; empty: nobody's.
func instanceOf(dir string) string { return word(dir, instanceFile) }

// homeOf is the run folder, other than the one given, where the workers of an instance
// are kept; empty: there's none. The data directory that names the instance is a copy then.
func homeOf(instance, run string) string {
	for _, dir := range runFolders(filepath.Dir(run)) {
		if dir == run || instanceOf(dir) != instance {
			continue
		}
		held, state := claim(dir)
		_ = held.release() // only looked at
		if state == Live || state == Waiting {
			return dir
		}
	}
	return ""
}

// ownerOf is the data directory of a run folder; empty: it's a private host's.
func ownerOf(dir string) string { return word(dir, ownerFile) }

// holderOf is the process that has, or had, a folder's lock; zero: unknown.
func holderOf(dir string) int {
	pid, _, _ := strings.Cut(word(dir, lockFile), " ")
	n, _ := strconv.Atoi(pid) // zero, as promised
	return n
}

func word(dir, file string) string {
	b, _ := os.ReadFile(filepath.Join(dir, file)) // none: empty
	return strings.TrimSpace(string(b))
}

// removable reports whether a folder can go while its lock is held.
func removable() bool { return runtime.GOOS != "windows" }
