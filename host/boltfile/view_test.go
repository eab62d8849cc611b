package boltfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

func TestViewReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	seen := false
	err := boltfile.View(sample(t, nil), func(tx *bolt.Tx) error {
		seen = string(tx.Bucket([]byte("deep")).Get([]byte("k0001"))) == "new"
		return walk(tx)
	})
	if err != nil || !seen {
		t.Errorf("View: %v, seen: %v", err, seen)
	}
}

func TestViewOfNothingDoesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	never := func(*bolt.Tx) error { return errors.New("there's nothing to read") }
	if err := boltfile.View(path, never); err != nil {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("View made the file: %v", err)
	}
	overwrite(t, path, nil)
	if err := boltfile.View(path, never); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestViewLeavesATornOrLiveFileAlone(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := boltfile.View(path, walk); !errors.Is(err, boltfile.ErrLocked) {
		t.Errorf("a live file: %v", err)
	}
	if err := errors.Join(db.Close(), os.Truncate(path, 3*pageSize)); err != nil {
		t.Fatal(err)
	}
	if err := boltfile.View(path, walk); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("a torn file: %v", err)
	}
	if got := content(t, path); len(got) != 3*pageSize {
		t.Errorf("it has %d bytes now", len(got))
	}
}
