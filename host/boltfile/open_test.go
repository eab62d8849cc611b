package boltfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

func TestSoundFileIsOpenedAsItIs(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	db, aside, err := boltfile.Open(path, nil)
	if err != nil || aside != "" {
		t.Fatalf("Open: set aside %q, %v", aside, err)
	}
	defer db.Close()
	if v := get(t, db, "k0001"); v != "new" {
		t.Errorf("k0001 = %q", v)
	}
}

func TestTornFileMakesWayForANewOne(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	if err := os.Truncate(path, 5*pageSize+1); err != nil {
		t.Fatal(err)
	}
	db, aside, err := boltfile.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if aside != path+".torn-1" || len(content(t, aside)) != 5*pageSize+1 {
		t.Errorf("set aside as %q", aside)
	}
	if err := db.Update(change); err != nil {
		t.Errorf("the new file: %v", err)
	}
}

// TestStartersOfATornFileNeverTakeEachOthersAway: while one sets the file aside
// and makes a new one, the others wait for the lock of the old.
func TestStartersOfATornFileNeverTakeEachOthersAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	overwrite(t, path, []byte("torn"))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			db, _, err := boltfile.Open(path, &bolt.Options{Timeout: time.Minute, NoSync: true, NoGrowSync: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Update(count); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db, aside, err := boltfile.Open(path, nil)
	if err != nil || aside != "" {
		t.Fatalf("Open: set aside %q, %v", aside, err)
	}
	defer db.Close()
	if v := get(t, db, "count"); len(v) != 16 {
		t.Errorf("%d of 16 writes are there", len(v))
	}
	if names := asides(t, path); !slices.Equal(names, []string{"a.db.torn-1"}) {
		t.Errorf("set aside: %v", names)
	}
}

func TestFolderIsNotOpened(t *testing.T) {
	t.Parallel()
	if _, _, err := boltfile.Open(t.TempDir(), nil); err == nil || errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("Open of a folder: %v", err)
	}
}

func TestFiveTornFilesAreKeptAndTheOldestGoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	for _, other := range []string{".torn-", ".torn-x", ".torn-07", "2.torn-1"} { // none of ours
		overwrite(t, path+other, nil)
	}
	for i := range 12 {
		overwrite(t, path, []byte{byte(i)})
		aside, err := boltfile.SetAside(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, aside); len(got) != 1 || got[0] != byte(i) {
			t.Errorf("%s holds %v", aside, got)
		}
	}
	want := []string{"a.db.torn-", "a.db.torn-07", "a.db.torn-10", "a.db.torn-11", "a.db.torn-12", "a.db.torn-8", "a.db.torn-9", "a.db.torn-x"}
	if names := asides(t, path); !slices.Equal(names, want) {
		t.Errorf("left: %v", names)
	}
}

func TestNothingToSetAsideIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := boltfile.SetAside(filepath.Join(t.TempDir(), "a.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SetAside: %v", err)
	}
}

// count adds a byte to a value.
func count(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte("deep"))
	if err != nil {
		return err
	}
	return b.Put([]byte("count"), append(slices.Clone(b.Get([]byte("count"))), '1'))
}

func get(t *testing.T, db *bolt.DB, key string) (value string) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) error {
		value = string(tx.Bucket([]byte("deep")).Get([]byte(key)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func asides(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + ".torn-*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	return names
}
