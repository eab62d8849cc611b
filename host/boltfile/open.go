package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Open opens or makes the bbolt file at path, for reading and writing, after it has
// checked it under its lock. A torn file is set aside, aside says where, and a new
// one takes its place. opts may be nil; its Timeout bounds the wait for the lock,
// and zero means not to wait at all. [ErrLocked] means that the wait was in vain.
//
// On Unix nobody can come between the check and the opening. On Windows another
// process can; its data directory's lock is what keeps it out there.
func Open(path string, opts *bolt.Options) (db *bolt.DB, aside string, err error) {
	if opts == nil {
		opts = &bolt.Options{}
	}
	f, err := openLocked(path, opts)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	err = verify(f)
	if errors.Is(err, ErrTorn) {
		f, aside, err = replace(f, opts)
	}
	if err != nil {
		return nil, aside, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	db, err = openChecked(f, *opts)
	return db, aside, err
}

// openLocked opens the file that bears the name once its lock is ours: while we
// waited, its owner may have set it aside.
func openLocked(path string, opts *bolt.Options) (*os.File, error) {
	for {
		f, err := openRegular(path, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if err := lock(f, exclusive, opts.Timeout); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		switch same, err := stillNamed(f, path); {
		case err != nil:
			return nil, errors.Join(err, f.Close())
		case same:
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

func stillNamed(f *os.File, path string) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

// replace sets a torn file aside, under its lock where the system can, and makes a
// new one. It always returns a file to close.
func replace(torn *os.File, opts *bolt.Options) (f *os.File, aside string, err error) {
	if !inheritable {
		err = torn.Close()
	}
	if err == nil {
		aside, err = SetAside(torn.Name())
	}
	if err != nil {
		return torn, aside, err
	}
	f, err = openLocked(torn.Name(), opts)
	if err != nil {
		return torn, aside, err
	}
	if inheritable {
		err = torn.Close()
	}
	return f, aside, err
}

// openChecked hands a file that was checked to bbolt, with its lock where that can
// be.
func openChecked(f *os.File, opts bolt.Options) (db *bolt.DB, err error) {
	if inheritable {
		opts.OpenFile = func(string, int, fs.FileMode) (*os.File, error) { return f, nil }
	} else if err := f.Close(); err != nil {
		return nil, err
	}
	err = Guard(func() (err error) {
		db, err = bolt.Open(f.Name(), 0o600, &opts)
		return err
	})
	if err != nil {
		_ = f.Close() // bbolt has closed it already, unless it panicked
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return db, nil
}
