package ledger

import (
	"errors"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

// Options say how a ledger is opened.
type Options struct {
	// LockTimeout is how long to wait for a host that is about to end; zero: not at all.
	LockTimeout time.Duration
	// NoSync leaves out every fsync: for a private host whose folder is in memory, and
	// is gone when the machine is.
	NoSync bool
}

// Ledger is an open ledger.
type Ledger struct {
	path        string
	db          *bolt.DB
	incarnation uint64
	aside       string
	writer      *writer

	once    sync.Once
	closing chan struct{}
	wg      sync.WaitGroup // the writer
}

// Open opens the ledger at path, or makes it, in a folder that exists. It raises the
// incarnation, durably. A torn file is set aside first, see [Ledger.SetAside].
// Conflict means that a live host has it open.
func Open(path string, opts Options) (*Ledger, error) {
	db, aside, err := boltfile.Open(path, &bolt.Options{Timeout: opts.LockTimeout, NoSync: opts.NoSync, NoGrowSync: opts.NoSync})
	if err != nil {
		return nil, explain(path, err)
	}
	var incarnation uint64
	err = boltfile.Guard(func() (err error) {
		incarnation, err = raise(db, !opts.NoSync)
		return err
	})
	if err != nil {
		return nil, explain(path, closeAfter(db, err))
	}
	l := &Ledger{
		path: path, db: db, incarnation: incarnation, aside: aside,
		writer:  newWriter(db),
		closing: make(chan struct{}),
	}
	l.wg.Go(func() { l.writer.run(l.closing) })
	return l, nil
}

// Incarnation is the number of this opening: greater than that of each before it,
// even of those whose file was torn.
func (l *Ledger) Incarnation() uint64 { return l.incarnation }

// SetAside is where Open put the torn file that it found; empty: it was sound.
func (l *Ledger) SetAside() string { return l.aside }

// Close waits for the writes under way and closes the file. Later calls do nothing.
// After a fault of the disk, the file stays locked until the process ends.
func (l *Ledger) Close() (err error) {
	l.once.Do(func() {
		close(l.closing)
		l.wg.Wait()
		err = closeAfter(l.db, l.writer.broken)
	})
	return explain(l.path, err)
}

// closeAfter closes a file after an error, if any. bbolt's own locks may be held for
// ever after a fault, so then it doesn't: a leak is better than a hang.
func closeAfter(db *bolt.DB, err error) error {
	if errors.Is(err, boltfile.ErrTorn) {
		return err
	}
	return errors.Join(err, db.Close())
}

// update makes one change, durably.
func (l *Ledger) update(fn func(*bolt.Tx) error) error {
	w := &write{fn: fn, done: make(chan error, 1)}
	select {
	case l.writer.writes <- w:
		return explain(l.path, <-w.done)
	case <-l.closing:
		return ErrClosed
	}
}

// view reads.
func (l *Ledger) view(fn func(*bolt.Tx) error) error {
	r := read{fn: fn, done: make(chan error, 1)}
	select {
	case l.writer.reads <- r:
		return explain(l.path, <-r.done)
	case <-l.closing:
		return ErrClosed
	}
}

// Read is a look at a ledger whose host is dead. It changes nothing, the incarnation
// included. A missing ledger holds nothing; conflict means that its host lives, and
// internal, with [boltfile.ErrTorn], that it's torn.
func Read(path string) (records []Record, err error) {
	err = boltfile.View(path, func(tx *bolt.Tx) error {
		records = readWorkers(tx)
		return nil
	})
	if err != nil {
		return nil, explain(path, err)
	}
	return records, nil
}
