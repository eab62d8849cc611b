package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

// incarnationKey holds the counter in the meta bucket, 8 bytes, big-endian. It also
// stands in a file of its own, which a torn ledger doesn't take along; the greater
// counts.
var incarnationKey = []byte("incarnation") //nolint:gochecknoglobals // a constant that bbolt wants as bytes

func siblingOf(path string) string { return path + ".incarnation" }

// raise makes this host's incarnation, greater than every one before it, and
// durable in both places.
func raise(db *bolt.DB, sync bool) (uint64, error) {
	sibling := siblingOf(db.Path())
	beside, besideErr := readSibling(sibling)
	var next uint64
	err := db.Update(func(tx *bolt.Tx) error {
		b, err := makeBuckets(tx)
		if err != nil {
			return err
		}
		stored := counterOf(b.Get(incarnationKey))
		if besideErr != nil && stored == 0 {
			return besideErr // starting over would let in who was fenced off
		}
		next = max(stored, beside) + 1
		return b.Put(incarnationKey, binary.BigEndian.AppendUint64(nil, next))
	})
	if err != nil {
		return 0, err
	}
	return next, writeSibling(sibling, next, sync)
}

func counterOf(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func readSibling(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s holds no incarnation, and the ledger neither: write a number into it that is greater than every one that its host had: %w", path, err)
	}
	return n, nil
}

// writeSibling replaces the file whole or not at all.
func writeSibling(path string, n uint64, sync bool) error {
	fresh := path + ".new" // a name that a crash leaves once: the ledger is locked
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, n)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil || !sync {
		return err
	}
	return boltfile.SyncDir(filepath.Dir(path))
}
