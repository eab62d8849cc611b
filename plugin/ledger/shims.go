package ledger

import (
	"cmp"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// SetShim records a pair of guard and shim, in the place of an older one at the same
// socket.
func (l *Ledger) SetShim(s Shim) error {
	if err := checkShim(s); err != nil {
		return err
	}
	s.Incarnation = l.incarnation
	return l.update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(shimsBucket))
		s.order = 1 // and an unreadable pair has none
		for _, other := range readShims(tx) {
			s.order = max(s.order, other.order+1)
		}
		v := newValue()
		putShim(v, s)
		return put(b, s.Socket, v)
	})
}

// EraseShim forgets a pair that has ended. An unknown one is forgotten already.
func (l *Ledger) EraseShim(socket string) error {
	return l.update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(shimsBucket)).Delete([]byte(socket))
	})
}

// Shims returns every pair, in the order they were set. Those that can't be read come
// first, with their Err.
func (l *Ledger) Shims() (all []Shim, err error) {
	err = l.view(func(tx *bolt.Tx) error {
		all = readShims(tx)
		return nil
	})
	return all, err
}

// Shim returns the pair that was set last and can be read; false: there's none.
func (l *Ledger) Shim() (Shim, bool, error) {
	all, err := l.Shims()
	if n := len(all); err == nil && n > 0 && all[n-1].Err == nil {
		return all[n-1], true, nil
	}
	return Shim{}, false, err
}

func readShims(tx *bolt.Tx) []Shim {
	all := rows(tx, shimsBucket, shimOf)
	slices.SortStableFunc(all, func(a, b Shim) int { return cmp.Compare(a.order, b.order) })
	return all
}
