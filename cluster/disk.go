package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// keepSnaps is how many snapshots are kept.
const keepSnaps = 2

// disk is a node's files, checked and open:
//
//	node.json         the identity
//	raft.db           Raft's log, term and vote
//	snapshots/        the registry at some index of the log, two of them
//	*.torn*, *.bad    what was damaged and set aside
type disk struct {
	dir       string
	log       hclog.Logger
	fail      func(error) // told when the log can't be written or read any more
	bolt      *store      // nil: in memory
	logs      logs        // bolt, or memory's
	patience  *patience   // what Raft uses: logs, and how long they take
	memory    *memory     // nil: on disk
	snapshots raft.SnapshotStore
	newest    *raft.SnapshotMeta // nil: there is none
	aside     []string           // what was set aside now, for people
	raised    bool               // the generation was raised now

	mu       sync.Mutex // guards all below, once Raft runs
	identity identity
}

// logs is where Raft keeps its log, its term and its vote.
type logs interface {
	raft.LogStore
	raft.StableStore
}

// openDisk opens the files in dir and mends what the sole member of a cluster can
// mend: what is damaged is set aside, and the registry begins with what the newest
// good snapshot holds, or empty, in a new generation of epochs.
func openDisk(dir string, log hclog.Logger, fail func(error)) (*disk, error) {
	d := &disk{dir: dir, log: log, fail: fail}
	known, err := d.openIdentity()
	if err != nil {
		return nil, err
	}
	damage, err := d.openLog()
	if err != nil {
		return nil, err
	}
	if err := d.openSnapshots(); err != nil {
		return nil, firstOf(err, d.close())
	}
	if err := d.mendLog(damage, known); err != nil {
		return nil, firstOf(err, d.close())
	}
	d.logs = d.bolt
	return d, nil
}

func (d *disk) close() error {
	if d.bolt == nil {
		return nil
	}
	open := d.bolt
	d.bolt = nil
	return open.close()
}

// openIdentity reads who this node is, or decides it. known says that it has been
// here before.
func (d *disk) openIdentity() (known bool, err error) {
	if err := d.makeDir(); err != nil {
		return false, err
	}
	if d.identity, known, err = readIdentity(d.dir); err != nil {
		return false, err
	}
	if known && d.identity.Ahead {
		d.identity.Ahead = false
		return false, d.identity.write(d.dir)
	}
	if known {
		return true, nil
	}
	if _, err := os.Lstat(d.path(logFile)); err == nil {
		e := errdefs.New(errdefs.Internal, "%s is gone, but %s is there", d.path(identityFile), logFile)
		e.Hint = "bring it back from a copy, or move the whole directory away to begin anew"
		return false, e
	}
	d.identity = identity{ID: newUUID()}
	return false, d.identity.write(d.dir)
}

// makeDir makes the directory, and sees whether it can be written: what raft says
// of that has lost its cause.
func (d *disk) makeDir() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	probe := d.path("probe")
	if err := os.WriteFile(probe, []byte{0}, 0o600); err != nil {
		return err
	}
	return os.Remove(probe)
}

// raise begins a new generation of epochs, once.
func (d *disk) raise() error {
	if d.raised {
		return nil
	}
	d.identity.Generation = max(d.identity.Generation, d.snapshotGeneration()) + 1
	if err := d.identity.write(d.dir); err != nil {
		return err
	}
	d.raised = true
	return nil
}

// noteGeneration keeps a generation that is higher than the one known, as it is
// when the identity came from an old copy.
func (d *disk) noteGeneration(generation uint64) error {
	return d.change(func(id *identity) { id.Generation = max(id.Generation, generation) })
}

// register keeps which start of the node a cluster has registered, and what belong does.
func (d *disk) register(cluster string, member bool, as start) error {
	return d.change(func(id *identity) {
		belong(id, cluster, member)
		id.Start = as
	})
}

// belong keeps which cluster the node belongs to, and, once, that others may count on
// its log. It's durable when it returns.
func (d *disk) belong(cluster string, member bool) error {
	return d.change(func(id *identity) { belong(id, cluster, member) })
}

func belong(id *identity, cluster string, member bool) {
	id.Cluster = cmp.Or(cluster, id.Cluster)
	id.Member = id.Member || member
}

func (d *disk) change(do func(*identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.identity
	if do(&next); next == d.identity {
		return nil
	}
	if d.memory != nil {
		d.memory.identity = next
	} else if err := next.write(d.dir); err != nil {
		return err
	}
	d.identity = next
	return nil
}

// who is what is known of the node itself.
func (d *disk) who() identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity
}

// memberLost refuses to go on without what others count on: a vote that was given
// and forgotten could be given twice.
func (d *disk) memberLost(damage error) error {
	e := errdefs.Wrap(errdefs.Internal, damage, "%s is lost, and this node is a member of cluster %s", d.path(logFile), d.identity.Cluster)
	e.Hint = "nothing is lost that the cluster acknowledged: move the directory away, let the host join as a new node, and remove node " + d.identity.ID
	return e
}

func (d *disk) setAside(what, to string, why error) {
	d.aside = append(d.aside, fmt.Sprintf("%s is damaged and was moved to %s: %v", what, to, why))
	d.log.Error("file of the registry is damaged and was set aside", "file", what, "to", to, "error", why)
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// openError gives what openDisk met a reason.
func openError(dir string, err error) error {
	var own *errdefs.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errdefs.Wrap(errdefs.DiskFull, err, "open the registry in %s", dir)
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOTDIR):
		e := errdefs.Wrap(errdefs.InvalidConfig, err, "open the registry in %s", dir)
		e.Hint = "the host must be able to write there"
		return e
	}
	return errdefs.Wrap(errdefs.Internal, err, "open the registry in %s", dir)
}
