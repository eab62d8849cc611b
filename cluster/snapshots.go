package cluster

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const snapshotsDir = "snapshots" // named so by raft

// openSnapshots finds the newest good snapshot, and sets damaged ones aside that
// are newer. One that a newer program wrote is an error: nothing is damaged.
func (d *disk) openSnapshots() (err error) {
	if err := removeUnfinished(d.path(snapshotsDir)); err != nil {
		return err
	}
	if err := os.MkdirAll(d.path(snapshotsDir), 0o700); err != nil { // raft would let others read it
		return err
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(d.dir, keepSnaps, quiet(d.log))
	if err != nil {
		return err
	}
	d.snapshots = files
	list, err := d.snapshots.List()
	if err != nil {
		return err
	}
	for _, meta := range list {
		_, err := d.loadSnapshot(meta.ID)
		if err == nil {
			d.newest = meta
			return nil
		}
		if errdefs.ReasonOf(err) == errdefs.VersionMismatch {
			return err
		}
		if err := d.loseSnapshot(meta.ID, err); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) loadSnapshot(id string) (*state, error) {
	_, source, err := d.snapshots.Open(id)
	if err != nil {
		return nil, err
	}
	defer source.Close() //nolint:errcheck // it was only read
	return readSnapshot(source)
}

func (d *disk) loseSnapshot(id string, why error) error {
	from, to := filepath.Join(d.path(snapshotsDir), id), d.path("snapshot-"+id+".bad")
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.setAside(from, to, why)
	return nil
}

// snapshotGeneration is that of the newest good snapshot.
func (d *disk) snapshotGeneration() uint64 {
	if d.newest == nil {
		return 0
	}
	s, err := d.loadSnapshot(d.newest.ID)
	if err != nil {
		return 0
	}
	return s.generation
}

// removeUnfinished removes what a process left that ended in the middle of a
// snapshot. Raft ignores it, but keeps it.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return err
}
