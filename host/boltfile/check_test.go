package boltfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

func TestSoundFilesPass(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*bolt.Options{
		"usual":             nil,
		"without freelist":  {NoFreelistSync: true},
		"small pages":       {PageSize: 1024},
		"large pages":       {PageSize: 16384},
		"freelist as a map": {FreelistType: bolt.FreelistMapType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, sample(t, opts), nil)
		})
	}
}

func TestFileWithMoreFreePagesThanAPageCountsPasses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	write(t, path, &bolt.Options{PageSize: 512, NoSync: true}, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), make([]byte, 512*70_000))
	})
	write(t, path, &bolt.Options{NoSync: true}, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("b")) })
	write(t, path, &bolt.Options{NoSync: true}, func(*bolt.Tx) error { return nil })
	check(t, path, nil)
}

func TestMissingAndEmptyFilesPass(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	check(t, path, nil)
	overwrite(t, path, nil)
	check(t, path, nil)
}

func TestTruncatedFilesAreTorn(t *testing.T) {
	t.Parallel()
	whole := content(t, sample(t, nil))
	path := filepath.Join(t.TempDir(), "a.db")
	for size := 1; size < used(whole); size += 2039 {
		overwrite(t, path, whole[:size])
		check(t, path, boltfile.ErrTorn)
	}
}

func TestFilesOfZerosAndOfAnythingElseAreTorn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	for _, content := range [][]byte{
		make([]byte, 1), make([]byte, 4096), make([]byte, 1<<20),
		[]byte("#!/bin/sh\n"), []byte(strings.Repeat("snakepit", 9999)),
	} {
		overwrite(t, path, content)
		check(t, path, boltfile.ErrTorn)
	}
}

func TestZeroedPagesAreFound(t *testing.T) {
	t.Parallel()
	whole := content(t, sample(t, nil))
	path := filepath.Join(t.TempDir(), "a.db")
	found := 0
	for at := 2 * pageSize; at < used(whole); at += pageSize {
		page := whole[at : at+pageSize]
		if page[8] == 0 { // it was never used, or lies within a large value
			continue
		}
		overwrite(t, path, replaced(whole, at, make([]byte, pageSize)))
		if err := boltfile.Check(path); errors.Is(err, boltfile.ErrTorn) {
			found++
		} else if err := use(path); err != nil { // it was free
			t.Fatalf("page %d: passed, and then: %v", at/pageSize, err)
		}
	}
	if found < 10 {
		t.Errorf("found %d zeroed pages; most of them are in use", found)
	}
}

// TestFlippedBytesNeverReachBbolt is the contract itself: whatever passes can be
// read and written by bbolt.
func TestFlippedBytesNeverReachBbolt(t *testing.T) {
	t.Parallel()
	whole := content(t, sample(t, nil))
	path := filepath.Join(t.TempDir(), "a.db")
	dice := rand.New(rand.NewPCG(1, 2))
	found, rounds := 0, 400
	for range rounds {
		at := dice.IntN(used(whole))
		if dice.IntN(3) > 0 { // headers and rows are where it hurts
			at = at/pageSize*pageSize + dice.IntN(128)
		}
		overwrite(t, path, replaced(whole, at, []byte{byte(dice.IntN(256))}))
		switch err := boltfile.Check(path); {
		case errors.Is(err, boltfile.ErrTorn):
			found++
		case err != nil:
			t.Fatalf("byte %d: %v", at, err)
		default:
			if err := use(path); err != nil {
				t.Fatalf("byte %d passed, and then: %v", at, err)
			}
		}
	}
	t.Logf("%d of %d flipped bytes were found", found, rounds)
	if found < rounds/10 {
		t.Errorf("found only %d of %d", found, rounds)
	}
}

// TestOneDamagedMetaIsNone: bbolt falls back on the other, which the last commit
// but one left whole.
func TestOneDamagedMetaIsNone(t *testing.T) {
	t.Parallel()
	whole := content(t, sample(t, nil))
	path := filepath.Join(t.TempDir(), "a.db")
	for id := range 2 {
		overwrite(t, path, replaced(whole, id*pageSize+16, make([]byte, 64)))
		check(t, path, nil)
		if err := use(path); err != nil {
			t.Errorf("without meta %d: %v", id, err)
		}
	}
	overwrite(t, path, replaced(whole, 16, make([]byte, pageSize+64)))
	check(t, path, boltfile.ErrTorn)
}

func TestWhatIsNoFileIsNotTorn(t *testing.T) {
	t.Parallel()
	err := boltfile.Check(t.TempDir())
	if err == nil || errors.Is(err, boltfile.ErrTorn) || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: %v", err)
	}
}

func TestFileInUseIsLocked(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check(t, path, boltfile.ErrLocked)
	if _, _, err := boltfile.Open(path, &bolt.Options{Timeout: 50 * time.Millisecond}); !errors.Is(err, boltfile.ErrLocked) {
		t.Errorf("Open: %v, want ErrLocked", err)
	}
	if left, err := filepath.Glob(path + ".torn-*"); err != nil || len(left) > 0 {
		t.Errorf("a live file was set aside: %v, %v", left, err)
	}
}

func TestReadersDontLockEachOtherOut(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check(t, path, nil)
}

func TestGuardTurnsAFaultIntoAnError(t *testing.T) {
	t.Parallel()
	path := sample(t, nil)
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := os.Truncate(path, 2*pageSize); err != nil {
		t.Fatal(err)
	}
	if err := boltfile.Guard(func() error { return db.View(walk) }); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("reading what is gone: %v, want ErrTorn", err)
	}
	if err := boltfile.Guard(func() error { return fs.ErrClosed }); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("an error of the function's own: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	whole := content(f, sample(f, &bolt.Options{PageSize: 1024}))
	f.Add(0, []byte{})
	for at := range 24 {
		f.Add(at*1024+8, []byte{1})
		f.Add(at*1024+10, []byte{255, 255})
		f.Add(at*1024+20, []byte{255, 255, 255})
	}
	path := filepath.Join(f.TempDir(), "a.db")
	f.Fuzz(func(t *testing.T, at int, damage []byte) {
		if at < 0 || at > len(whole)-len(damage) {
			t.Skip("outside the file")
		}
		overwrite(t, path, replaced(whole, at, damage))
		switch err := boltfile.Check(path); {
		case err == nil:
			if err := use(path); err != nil {
				t.Fatalf("passed, and then: %v", err)
			}
		case !errors.Is(err, boltfile.ErrTorn):
			t.Fatal(err)
		}
	})
}

const pageSize = 4096

// sample makes a file with everything in it: a deep tree, nested and inline
// buckets, large values, and free pages.
func sample(tb testing.TB, opts *bolt.Options) string {
	tb.Helper()
	if opts == nil {
		opts = &bolt.Options{PageSize: pageSize}
	}
	path := filepath.Join(tb.TempDir(), "sample.db")
	write(tb, path, opts, fill)
	write(tb, path, opts, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("gone")) })
	write(tb, path, opts, func(tx *bolt.Tx) error { return tx.Bucket([]byte("deep")).Put([]byte("k0001"), []byte("new")) })
	return path
}

func fill(tx *bolt.Tx) error {
	for _, name := range []string{"deep", "gone"} {
		b, err := tx.CreateBucket([]byte(name))
		if err != nil {
			return err
		}
		for i := range 600 {
			if err := b.Put(fmt.Appendf(nil, "k%04d", i), fmt.Appendf(nil, "%060d", i)); err != nil {
				return err
			}
		}
		if err := b.Put([]byte("large"), make([]byte, 5*pageSize)); err != nil {
			return err
		}
		if err := nest(b, 4); err != nil {
			return err
		}
	}
	_, err := tx.CreateBucket([]byte("empty"))
	return err
}

func nest(in *bolt.Bucket, levels int) error {
	b, err := in.CreateBucket([]byte("nested"))
	if err != nil || levels == 0 {
		return err
	}
	if err := b.Put([]byte("k"), []byte("v")); err != nil {
		return err
	}
	return nest(b, levels-1)
}

func write(tb testing.TB, path string, opts *bolt.Options, fn func(*bolt.Tx) error) {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, opts)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(fn); err != nil {
		tb.Fatal(err)
	}
}

// use does with a file what its owner would: reads all of it, writes, and removes.
func use(path string) error {
	return boltfile.Guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true})
		if err != nil {
			return err
		}
		defer db.Close()
		if err := db.View(walk); err != nil {
			return err
		}
		for range 3 {
			if err := db.Update(change); err != nil {
				return err
			}
		}
		return db.View(walk)
	})
}

func walk(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walkBucket(b) })
}

func walkBucket(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return walkBucket(b.Bucket(k))
		}
		if len(k) == 0 || len(string(v)) != len(v) { // touches every byte
			return errors.New("a key of no bytes")
		}
		return nil
	})
}

func change(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte("deep"))
	if err != nil {
		return err
	}
	for i := range 200 {
		if err := b.Put(fmt.Appendf(nil, "k%04d", i*7), make([]byte, i)); err != nil && !errors.Is(err, berrors.ErrIncompatibleValue) {
			return err
		}
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v != nil && k[len(k)-1] == '3' {
			return b.Delete(k)
		}
	}
	return nil
}

func check(t *testing.T, path string, want error) {
	t.Helper()
	if err := boltfile.Check(path); !errors.Is(err, want) {
		t.Errorf("Check: %v, want %v", err, want)
	}
}

func content(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// used is where the newer meta says that the file's use ends.
func used(whole []byte) int {
	at := 16
	if whole[16+48] < whole[pageSize+16+48] { // by transaction
		at += pageSize
	}
	return (int(whole[at+40]) | int(whole[at+41])<<8) * pageSize
}

func replaced(whole []byte, at int, damage []byte) []byte {
	b := append([]byte(nil), whole...)
	copy(b[at:], damage)
	return b
}

func overwrite(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
}
