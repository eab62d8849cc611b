package ledger

import (
	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Intend records a worker that is about to be forked: who it is, and the token by
// which a scan finds it. It's durable on return. Exists means that the id was used
// before, which it never may be.
func (l *Ledger) Intend(r Record) error {
	if err := checkRecord(r); err != nil {
		return err
	}
	r.Incarnation = l.incarnation
	v := newValue()
	putIntent(v, r)
	return l.update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(workersBucket))
		if b.Get([]byte(r.Worker)) != nil {
			return about(r.Worker, errdefs.New(errdefs.Exists, "the ledger has a record of it already"))
		}
		return put(b, string(r.Worker), v)
	})
}

// Identify records the process that a worker became. A second identity of the same
// worker is a conflict: its process can't have changed.
func (l *Ledger) Identify(id host.WorkerID, p Identity) error {
	if err := checkIdentity("process", p); err != nil {
		return err
	}
	return l.change(id, func(r Record, v value) error {
		if r.Process.PID != 0 && r.Process != p {
			return errdefs.New(errdefs.Conflict, "the ledger has it as process %d, and now it would be %d", r.Process.PID, p.PID)
		}
		putIdentity(v, p)
		return nil
	})
}

// Complete records how to reach a worker that has shaken hands, or that this host
// has reattached. A worker without an identity is a conflict.
func (l *Ledger) Complete(id host.WorkerID, a Reattach) error {
	if err := checkReattach(a); err != nil {
		return err
	}
	a.Incarnation = l.incarnation
	return l.change(id, func(r Record, v value) error {
		if r.Process.PID == 0 {
			return errdefs.New(errdefs.Conflict, "the ledger doesn't know its process yet")
		}
		putReattach(v, a)
		return nil
	})
}

// Erase forgets a worker that is reaped. An unknown one is forgotten already.
func (l *Ledger) Erase(id host.WorkerID) error {
	return l.update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(workersBucket)).Delete([]byte(id))
	})
}

// Records returns every record, by worker id. Those that can't be read are among
// them, with their Err.
func (l *Ledger) Records() (all []Record, err error) {
	err = l.view(func(tx *bolt.Tx) error {
		all = readWorkers(tx)
		return nil
	})
	return all, err
}

func readWorkers(tx *bolt.Tx) []Record { return rows(tx, workersBucket, recordOf) }

// change rewrites a record that can be read. Fields that we don't know stay.
func (l *Ledger) change(id host.WorkerID, fn func(Record, value) error) error {
	return l.update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(workersBucket))
		raw := b.Get([]byte(id))
		if raw == nil {
			return about(id, errdefs.New(errdefs.WorkerNotFound, "the ledger has no record of it"))
		}
		r := recordOf([]byte(id), raw)
		if r.Err != nil {
			return about(id, errdefs.Wrap(errdefs.Internal, r.Err, "the ledger can't change it"))
		}
		v, err := parseValue(raw)
		if err == nil {
			err = fn(r, v)
		}
		if err != nil {
			return about(id, err)
		}
		return put(b, string(id), v)
	})
}

func put(b *bolt.Bucket, key string, v value) error {
	raw, err := v.bytes()
	if err != nil {
		return err
	}
	return b.Put([]byte(key), raw)
}
