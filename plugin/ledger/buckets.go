package ledger

import (
	bolt "go.etcd.io/bbolt"
)

// The buckets of the file.
const (
	metaBucket    = "meta"
	workersBucket = "workers"
)

// makeBuckets makes what is missing, and returns the first.
func makeBuckets(tx *bolt.Tx) (*bolt.Bucket, error) {
	if _, err := tx.CreateBucketIfNotExists([]byte(workersBucket)); err != nil {
		return nil, err
	}
	return tx.CreateBucketIfNotExists([]byte(metaBucket))
}

// rows reads a bucket in the order of its keys; a bucket that was never made has none.
func rows[T any](tx *bolt.Tx, bucket string, read func(key, raw []byte) T) []T {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	var all []T
	for c, k, v := first(b); k != nil; k, v = c.Next() {
		all = append(all, read(k, v))
	}
	return all
}

func first(b *bolt.Bucket) (c *bolt.Cursor, k, v []byte) {
	c = b.Cursor()
	k, v = c.First()
	return c, k, v
}
