package embed

import (
	"os"
	"path/filepath"
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
	// sweepPatience is how long a host waits for a cleanup of its data directory.
	sweepPatience = 30 * time.Second
)

// sweep removes run folders whose host is gone and whose workers nobody keeps, and
// ends whoever of them is left all the same. Errors are left to whoever needs the name next.
func sweep(base string) {
	for _, dir := range abandonedUnder(base) {
		if !anyAlive(plugin.Sweep(instanceOf(dir), nil, false)) {
			_ = os.RemoveAll(dir)
		}
	}
}

// abandonedUnder finds them and takes their names away.
func abandonedUnder(base string) []string {
	return takeAbandoned(base, func(string) bool { return true })
}

// takeAbandoned takes the names of those of a base's folders away that are wanted and nobody's
// any more, and gives what they are called now.
func takeAbandoned(base string, wanted func(dir string) bool) []string {
	release, err := lockBase(base)
	if err != nil {
		return nil
	}
	defer release()
	var all []string
	for _, dir := range runFolders(base) {
		old := filepath.Join(base, halfMade+randomName())
		if wanted(dir) && abandoned(dir) && os.Rename(dir, old) == nil {
			all = append(all, old)
		}
	}
	return all
}

// abandoned reports whether nobody has a folder any more, while nobody else takes one.
func abandoned(dir string) bool {
	if isHalfMade(dir) {
		return true
	}
	held, state := claimHeld(dir)
	_ = held.release() // its folder goes now
	return state == Abandoned
}

// lockBase keeps sweeps and those who take a folder apart: what a sweep found
// abandoned may be a host's a moment later, under the same name.
func lockBase(base string) (release func(), err error) {
	f, err := openToLock(base)
	if err != nil {
		return nil, dirError(base, err)
	}
	if err := awaitLock(f); err != nil {
		_ = f.Close() // nothing was written
		return nil, dirError(base, err)
	}
	return func() { _ = unlock(f) }, nil // nothing was written
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
	release, err := lockBase(filepath.Dir(dir))
	if err != nil {
		return nil, ""
	}
	defer release()
	if isHalfMade(dir) {
		return nil, Abandoned // nobody looks for it under that name: there's nothing to lock
	}
	return claimHeld(dir)
}

// claimHeld is claim while nobody else takes a folder.
func claimHeld(dir string) (*claimed, State) {
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

// isHalfMade reports whether a folder is one that a host didn't finish to make, or
// that is going away. Hosts make theirs under the base's lock: who has that sees none
// but those of the dead.
func isHalfMade(dir string) bool { return strings.HasPrefix(filepath.Base(dir), halfMade) }

// inPlace reports whether an open file still is the one with its name.
func inPlace(f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(ours, named)
}

// instanceOf says whose workers a run folder's are; empty: nobody's.
func instanceOf(dir string) string { return word(dir, instanceFile) }

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
