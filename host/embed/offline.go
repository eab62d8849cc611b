package embed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/snakepit-go/snakepit/cluster"
)

// RegistryReport says what became of a data directory's registry.
type RegistryReport struct {
	DataDir    string   `json:"data_dir"`
	Node       string   `json:"node"`       // its node's id
	Cluster    string   `json:"cluster"`    // the new cluster's id
	From       string   `json:"from"`       // that of the one before
	Generation uint64   `json:"generation"` // its epochs are greater than any of a lower one
	Sessions   int      `json:"sessions"`
	Gone       []string `json:"gone"`      // ids of nodes that can't come back
	SetAside   string   `json:"set_aside"` // where the registry is that was there; empty: there was none
}

// Restore makes a data directory's registry anew, of a backup: a new cluster of one
// node. It's made where no directory is. A registry that is there is set aside. past is
// a generation that epochs must exceed beside those of the backup; zero: none is known.
//
// Errors: exists when a host has the directory; those of cluster.Restore, and then all is as
// it was.
func Restore(dataDir string, backup io.Reader, past uint64) (RegistryReport, error) {
	r := RegistryReport{DataDir: dataDir, Gone: []string{}}
	err := offline(dataDir, func(registry string) error {
		aside, err := setAside(registry)
		if err != nil {
			return err
		}
		made, err := cluster.Restore(registry, backup, past)
		if err != nil {
			return errors.Join(err, putBack(aside, registry))
		}
		r.Node, r.Cluster, r.From, r.Generation, r.Sessions, r.SetAside = made.Node, made.Cluster, made.From, made.Generation, made.Sessions, aside
		return nil
	})
	return r, err
}

// Recover makes the node of a data directory a cluster of its own, after the majority of its
// cluster was lost for good. Errors: exists when a host has the directory; those of
// cluster.Recover.
func Recover(dataDir string) (RegistryReport, error) {
	r := RegistryReport{DataDir: dataDir}
	err := offline(dataDir, func(registry string) error {
		made, err := cluster.Recover(registry)
		r.Node, r.Cluster, r.From, r.Generation, r.Sessions = made.Node, made.Cluster, made.From, made.Generation, made.Sessions
		r.Gone = append([]string{}, made.Gone...)
		return err
	})
	return r, err
}

// offline does something to the registry of a data directory that no host has.
func offline(dataDir string, do func(registry string) error) error {
	d := &dirs{data: dataDir}
	if err := d.lockData(); err != nil {
		return err
	}
	return errors.Join(do(d.registry()), d.release())
}

// release gives the locks back.
func (d *dirs) release() error {
	var errs []error
	for _, f := range d.locks {
		errs = append(errs, unlock(f))
	}
	return errors.Join(errs...)
}

// setAside renames a folder, if it's there, to what no other has.
func setAside(path string) (aside string, err error) {
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s.old-%d", path, n)
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch err := os.Rename(path, aside); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", dirError(filepath.Dir(path), err)
	}
	return aside, nil
}

// putBack undoes setAside.
func putBack(aside, path string) error {
	if aside == "" {
		return nil
	}
	return os.Rename(aside, path)
}
