package boltfile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

// TestWhateverBboltWritesPasses guards against the other mistake: a sound file that
// is taken for a torn one, and set aside with all that it holds.
func TestWhateverBboltWritesPasses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 0))
			path := filepath.Join(t.TempDir(), "a.db")
			opts := &bolt.Options{PageSize: 512 << dice.IntN(4), NoFreelistSync: dice.IntN(3) == 0, NoSync: true, NoGrowSync: dice.IntN(2) == 0}
			for range 25 {
				db, err := bolt.Open(path, 0o600, opts)
				if err != nil {
					t.Fatal(err)
				}
				for range 1 + dice.IntN(8) {
					if err := db.Update(func(tx *bolt.Tx) error { return live(tx, dice) }); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if err := boltfile.Check(path); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// live is a transaction of puts and deletes, near each other and all over, in some
// buckets, of which one is now and then dropped.
func live(tx *bolt.Tx, dice *rand.Rand) error {
	name := fmt.Appendf(nil, "b%d", dice.IntN(4))
	if dice.IntN(12) == 0 {
		if err := tx.DeleteBucket(name); !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	b, err := tx.CreateBucketIfNotExists(name)
	if err == nil && dice.IntN(2) == 0 {
		b, err = b.CreateBucketIfNotExists([]byte("nested"))
	}
	if err != nil {
		return err
	}
	from, remove := dice.IntN(900), dice.IntN(2) == 0
	for i := range dice.IntN(200) {
		key := fmt.Appendf(nil, "k%0*d", 1+dice.IntN(40), from+i)
		if dice.IntN(4) == 0 {
			key = fmt.Appendf(nil, "k%d", dice.IntN(900))
		}
		if remove {
			err = b.Delete(key)
		} else {
			err = b.Put(key, make([]byte, dice.IntN(60)*(1+dice.IntN(2)*dice.IntN(30))))
		}
		if err != nil {
			return err
		}
	}
	if remove {
		return deleteRun(b, dice.IntN(150))
	}
	return nil
}

// deleteRun empties whole pages.
func deleteRun(b *bolt.Bucket, n int) error {
	var keys [][]byte
	for c, k, v := seek(b); k != nil && len(keys) < n; k, v = c.Next() {
		if v != nil {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func seek(b *bolt.Bucket) (c *bolt.Cursor, k, v []byte) {
	c = b.Cursor()
	k, v = c.Seek([]byte("k3"))
	return c, k, v
}
