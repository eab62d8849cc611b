package cluster

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// maxGeneration is the highest generation that an epoch has room for.
const maxGeneration = 1<<(64-generationShift) - 1

// Restored says what came of a backup.
type Restored struct {
	Node       string // the id of the node whose directory it is now
	Cluster    string // the new cluster's id
	Generation uint64 // its epochs are greater than any of a lower one
	From       string // the id of the cluster that was backed up
	Sessions   int
}

// Restore makes the directory of a node that is a cluster of its own, with the
// sessions and all else that a backup has. The directory must be empty, or not be
// there; it's made whole or not at all. The cluster has a new id, so that no node of the
// one that was backed up takes it for its own; no nodes, no processes, and no owners:
// the sessions are given to the nodes that come, and begin with their state.
//
// Its epochs are greater than any in the backup, and than those of the generation
// past: where the cluster had been restored or recovered since the backup, or its log was
// lost, Overview.Generation had said a higher one, and past must be that.
//
// Errors: invalid_arguments for what isn't a whole backup; version_mismatch when a
// newer program wrote it; conflict when the directory has something in it;
// disk_full; invalid_config for a directory that can't be made; internal.
func Restore(dir string, backup io.Reader, past uint64) (Restored, error) {
	s, header, err := readBackup(backup)
	if err != nil {
		return Restored{}, err
	}
	if max(s.generation, past) >= maxGeneration {
		return Restored{}, errdefs.New(errdefs.InvalidArguments, "generation %d is the last one", uint64(maxGeneration))
	}
	id := identity{ID: newUUID(), Generation: max(s.generation, past) + 1, Cluster: newUUID()}
	s.beginAnew(id)
	if err := writeWhole(dir, func(to string) error { return writeRestored(to, s, id) }); err != nil {
		return Restored{}, openError(dir, err)
	}
	return Restored{Node: id.ID, Cluster: id.Cluster, Generation: id.Generation, From: header.Cluster, Sessions: len(s.sessions)}, nil
}

// beginAnew makes a state that of a cluster without nodes.
func (s *state) beginAnew(id identity) {
	s.generation, s.cluster = id.Generation, id.Cluster
	s.raised = max(s.raised, 2) // from which on a snapshot has the cluster's id
	s.index = max(s.index, 1)
	s.nodes, s.processes, s.origins = map[string]*Member{}, map[host.WorkerID]*host.ProcessRecord{}, origins{}
	for name, row := range s.sessions {
		homeless := *row
		homeless.Owner, homeless.Home = Owner{}, ""
		s.sessions[name] = &homeless
	}
}

// writeRestored writes the files of a node that is the only voter, and finds its own
// address when it starts.
func writeRestored(dir string, s *state, id identity) error {
	if err := os.Mkdir(filepath.Join(dir, snapshotsDir), 0o700); err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnaps, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	address, trans := raft.NewInmemTransport(raft.ServerAddress(id.ID))
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id.ID), Address: address}}}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, s.index, 1, alone, 1, trans)
	if err != nil {
		return err
	}
	if err := (&snapshot{s}).Persist(sink); err != nil {
		return err
	}
	return id.write(dir)
}

// writeWhole has a directory written beside its place, and moves it there.
func writeWhole(dir string, write func(to string) error) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		e := errdefs.New(errdefs.Conflict, "%s isn't empty: it has %s", dir, entries[0].Name())
		e.Hint = "restore into an empty directory, or move this one away"
		return e
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	next, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".restoring-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(next) //nolint:errcheck // it isn't there any more when all went well
	if err := write(next); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, dir); err != nil {
		return err
	}
	return syncDir(parent)
}
