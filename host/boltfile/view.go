package boltfile

import (
	"errors"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// View reads the bbolt file at path, which nobody else may have open for writing,
// in one transaction. It changes nothing, and waits for at most a second for the
// lock. A missing or empty file holds nothing: fn doesn't run. Errors are those of
// [Check] and of fn, which is guarded (see [Guard]).
func View(path string, fn func(*bolt.Tx) error) error {
	f, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if err := verifyShared(f); err != nil {
		return err
	}
	if st, err := f.Stat(); err != nil || st.Size() == 0 {
		return err
	}
	db, err := openChecked(f, bolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return err
	}
	return errors.Join(Guard(func() error { return db.View(fn) }), db.Close())
}
