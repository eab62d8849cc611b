package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	logFile  = "raft.db"
	lockWait = time.Second // for another process that is about to end
)

// currentTerm is the key under which Raft keeps its term.
const currentTerm = "CurrentTerm"

// openLog opens the log, unless it's torn: damage says so. It comes before all else
// in the directory, since the log's lock keeps other processes out.
func (d *disk) openLog() (damage, err error) {
	err = boltfile.Check(d.path(logFile))
	if errors.Is(err, boltfile.ErrTorn) {
		return err, nil
	}
	if err != nil {
		return nil, d.inUse(err)
	}
	return nil, d.openBolt()
}

// mendLog begins a new log in place of a damaged one, and makes it fit the snapshot.
// known says that the node has been here before, so that an empty log is one that
// was lost.
func (d *disk) mendLog(damage error, known bool) error {
	if damage == nil {
		damage = d.checkLog()
	}
	if damage != nil && d.identity.Member {
		return d.memberLost(damage)
	}
	if damage != nil {
		if err := d.close(); err != nil && !errors.Is(err, boltfile.ErrTorn) {
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

// followUp makes the log fit what comes before it.
func (d *disk) followUp(known bool) error {
	empty, err := d.logIsEmpty()
	if err != nil {
		return err
	}
	if empty && d.identity.Member {
		return d.memberLost(errors.New("the log is empty"))
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
		if err != nil {
			return err
		}
		if last == 0 {
			return d.checkEmpty()
		}
		if first > d.snapshotIndex()+1 {
			return fmt.Errorf("the log begins at entry %d, and the newest snapshot ends at %d", first, d.snapshotIndex())
		}
		for i := first; i <= last; i++ {
			var entry raft.Log
			if err := d.bolt.bolt.GetLog(i, &entry); err != nil {
				return fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err)
			}
			if entry.Index != i {
				return fmt.Errorf("entry %d of the log calls itself %d", i, entry.Index)
			}
		}
		return nil
	})
}

// checkEmpty refuses a log that has begun, and has nothing that says with whom: its
// node ended in the middle of its very first start.
func (d *disk) checkEmpty() error {
	empty, err := d.logIsEmpty()
	if err == nil && !empty && d.newest == nil {
		err = errors.New("the log has a term, and neither an entry nor a snapshot")
	}
	return err
}

func (d *disk) snapshotIndex() uint64 {
	if d.newest == nil {
		return 0
	}
	return d.newest.Index
}

func (d *disk) inUse(err error) error {
	if errors.Is(err, bolterrors.ErrTimeout) || errors.Is(err, boltfile.ErrLocked) {
		return errdefs.New(errdefs.Conflict, "another process uses %s", d.path(logFile))
	}
	return err
}
