package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	logFile   = "raft.db"
	lockWait  = time.Second // for another process that is about to end
	keepSnaps = 2
)

// currentTerm is the key under which Raft keeps its term.
const currentTerm = "CurrentTerm"

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
	identity  identity
	bolt      *store
	snapshots *raft.FileSnapshotStore
	newest    *raft.SnapshotMeta // nil: there is none
	aside     []string           // what was set aside now, for people
	raised    bool               // the generation was raised now
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
	if err := d.openSnapshots(); err != nil {
		return nil, err
	}
	if err := d.openLog(known); err != nil {
		return nil, errors.Join(err, d.close())
	}
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
	if d.identity, known, err = readIdentity(d.dir); known || err != nil {
		return known, err
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

// openLog opens the log, or a new one where it's damaged. known says that the node
// has been here before, so that an empty log is one that was lost.
func (d *disk) openLog(known bool) error {
	damage, err := d.openWhole()
	if err != nil {
		return err
	}
	if damage != nil {
		if err := d.close(); err != nil && !errors.Is(err, errFault) {
			return err
		}
		if err := d.loseLog(damage); err != nil {
			return err
		}
		if err := d.openBolt(); err != nil {
			return err
		}
	}
	return d.followUp(known)
}

// openWhole opens the log. damage says why it mustn't be used, open or not.
func (d *disk) openWhole() (damage, err error) {
	err = boltfile.Check(d.path(logFile))
	if errors.Is(err, boltfile.ErrTorn) {
		return err, nil
	}
	if err != nil {
		return nil, d.inUse(err)
	}
	if err := d.openBolt(); err != nil {
		return nil, err
	}
	return d.checkLog(), nil
}

func (d *disk) openBolt() error {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:                    d.path(logFile),
		BoltOptions:             &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockWait},
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return d.inUse(err)
	}
	d.bolt = &store{bolt: bolt, fail: d.fail}
	return nil
}

// loseLog sets the log aside. The generation comes first: should this process end
// in between, no epoch comes twice all the same.
func (d *disk) loseLog(damage error) error {
	if err := d.raise(); err != nil {
		return err
	}
	to, err := boltfile.SetAside(d.path(logFile))
	if err != nil {
		return err
	}
	d.setAside(d.path(logFile), to, damage)
	return nil
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
	if generation <= d.identity.Generation {
		return nil
	}
	d.identity.Generation = generation
	return d.identity.write(d.dir)
}

// followUp makes the log fit what comes before it.
func (d *disk) followUp(known bool) error {
	empty, err := d.logIsEmpty()
	if err != nil {
		return err
	}
	if empty && (known || d.newest != nil) {
		if err := d.raise(); err != nil {
			return err
		}
	}
	if d.newest == nil {
		return nil
	}
	if empty {
		// The terms of new entries must not be lower than the snapshot's.
		return d.bolt.bolt.SetUint64([]byte(currentTerm), d.newest.Term)
	}
	return d.dropCovered()
}

// dropCovered removes a log that ends before the snapshot does: what Raft appends
// would leave a hole.
func (d *disk) dropCovered() error {
	first, last, err := d.bounds()
	if err != nil || last == 0 || last >= d.newest.Index {
		return err
	}
	return d.bolt.bolt.DeleteRange(first, last)
}

func (d *disk) logIsEmpty() (bool, error) {
	term, err := d.bolt.GetUint64([]byte(currentTerm))
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return false, err
	}
	_, last, err := d.bounds()
	return term == 0 && last == 0, err
}

func (d *disk) bounds() (first, last uint64, err error) {
	if first, err = d.bolt.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = d.bolt.LastIndex()
	return first, last, err
}

// checkLog reads the whole log, which is short, and says what is wrong with it:
// Raft would find out on a goroutine of its own, and panic.
func (d *disk) checkLog() error {
	return d.bolt.guarded(func() error {
		first, last, err := d.bounds()
		if err != nil || last == 0 {
			return err
		}
		if first > d.snapshotIndex()+1 {
			return fmt.Errorf("the log begins at entry %d, and the newest snapshot ends at %d", first, d.snapshotIndex())
		}
		for i := first; i <= last; i++ {
			var entry raft.Log
			if err := d.bolt.bolt.GetLog(i, &entry); err != nil || entry.Index != i {
				return fmt.Errorf("entry %d of the log isn't there (%d to %d are): %w", i, first, last, err)
			}
		}
		return nil
	})
}

func (d *disk) snapshotIndex() uint64 {
	if d.newest == nil {
		return 0
	}
	return d.newest.Index
}

func (d *disk) setAside(what, to string, why error) {
	d.aside = append(d.aside, fmt.Sprintf("%s is damaged and was moved to %s: %v", what, to, why))
	d.log.Error("file of the registry is damaged and was set aside", "file", what, "to", to, "error", why)
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *disk) inUse(err error) error {
	if errors.Is(err, bolterrors.ErrTimeout) || errors.Is(err, boltfile.ErrLocked) {
		return errdefs.New(errdefs.Conflict, "another process uses %s", d.path(logFile))
	}
	return err
}

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
