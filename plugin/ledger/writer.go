package ledger

import (
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

// maxBatch bounds how many writes share a transaction.
const maxBatch = 256

// write is one change. It has changed nothing when it returns an error, so that
// the others of its transaction go ahead.
type write struct {
	fn   func(*bolt.Tx) error
	err  error // fn's own
	done chan error
}

// read is one look.
type read struct {
	fn   func(*bolt.Tx) error
	done chan error
}

// writer is the one goroutine that touches bbolt, for reading too: a fault leaves
// bbolt's locks held, and the next to come would wait for ever. bbolt's own Batch
// would let a lone write wait for company; here a write never waits unless another
// is under way, and all that came meanwhile go together.
type writer struct {
	db     *bolt.DB
	writes chan *write
	reads  chan read
	broken error // set by a fault: bbolt isn't touched again
}

func newWriter(db *bolt.DB) *writer {
	return &writer{db: db, writes: make(chan *write), reads: make(chan read)}
}

// run reads and writes until closing is closed.
func (w *writer) run(closing <-chan struct{}) {
	for {
		select {
		case first := <-w.writes:
			w.commit(w.gather(first))
		case r := <-w.reads:
			r.done <- w.guarded(func() error { return w.db.View(r.fn) })
		case <-closing:
			return
		}
	}
}

// gather takes whatever else waits already.
func (w *writer) gather(first *write) []*write {
	batch := []*write{first}
	for len(batch) < maxBatch {
		select {
		case next := <-w.writes:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// commit answers each write of a batch. When the disk takes none of them together,
// each gets a chance of its own: one that frees room shall not fail with one that
// needs it.
func (w *writer) commit(batch []*write) {
	err := w.update(batch)
	if err != nil && len(batch) > 1 && w.broken == nil {
		for i := range batch {
			w.commit(batch[i : i+1])
		}
		return
	}
	for _, one := range batch {
		if one.err == nil {
			one.err = err
		}
		one.done <- one.err
	}
}

func (w *writer) update(batch []*write) error {
	return w.guarded(func() error {
		return w.db.Update(func(tx *bolt.Tx) error {
			for _, one := range batch {
				one.err = one.fn(tx)
			}
			return nil
		})
	})
}

// guarded runs what touches bbolt, until a fault.
func (w *writer) guarded(fn func() error) error {
	if w.broken != nil {
		return w.broken
	}
	err := boltfile.Guard(fn)
	if errors.Is(err, boltfile.ErrTorn) {
		w.broken = err
	}
	return err
}
