package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// store is Raft's log and its stable values on disk. Raft panics when it can't
// save its term or read its log, and goes on in error when it can't append. So
// where that would happen the node is told to close, and the call never returns:
// it ends Raft's goroutine, whose deferred functions answer those who wait.
type store struct {
	bolt    *raftboltdb.BoltStore
	fail    func(error) // doesn't block
	faulted atomic.Bool // a fault may have left bolt's locks taken
}

// StoreLogs implements [raft.LogStore].
func (s *store) StoreLogs(logs []*raft.Log) error {
	s.must("write", func() error { return s.bolt.StoreLogs(logs) })
	return nil
}

// StoreLog implements [raft.LogStore].
func (s *store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// GetLog implements [raft.LogStore]. Entries before the first are compacted, those
// after the last haven't come yet, and Raft asks for both in order to learn that; any
// other that isn't there is a fault.
func (s *store) GetLog(index uint64, log *raft.Log) error {
	err := s.guarded(func() error { return s.bolt.GetLog(index, log) })
	if errors.Is(err, raft.ErrLogNotFound) && s.outside(index) {
		return err
	}
	s.must(fmt.Sprintf("read entry %d of", index), func() error { return err })
	return nil
}

func (s *store) outside(index uint64) bool {
	first, err := s.FirstIndex()
	if err != nil {
		return false
	}
	last, err := s.LastIndex()
	return err == nil && (index < first || index > last)
}

// FirstIndex implements [raft.LogStore].
func (s *store) FirstIndex() (first uint64, err error) {
	err = s.guarded(func() error { first, err = s.bolt.FirstIndex(); return err })
	return first, err
}

// LastIndex implements [raft.LogStore].
func (s *store) LastIndex() (last uint64, err error) {
	err = s.guarded(func() error { last, err = s.bolt.LastIndex(); return err })
	return last, err
}

// DeleteRange implements [raft.LogStore]. Its errors are ones that Raft copes
// with; the node closes all the same.
func (s *store) DeleteRange(first, last uint64) error {
	err := s.guarded(func() error { return s.bolt.DeleteRange(first, last) })
	if err != nil {
		s.fail(diskError("compact", err))
	}
	return err
}

// Set implements [raft.StableStore].
func (s *store) Set(key, value []byte) error {
	s.must("write", func() error { return s.bolt.Set(key, value) })
	return nil
}

// SetUint64 implements [raft.StableStore].
func (s *store) SetUint64(key []byte, value uint64) error {
	s.must("write", func() error { return s.bolt.SetUint64(key, value) })
	return nil
}

// Get implements [raft.StableStore].
func (s *store) Get(key []byte) (value []byte, err error) {
	err = s.guarded(func() error { value, err = s.bolt.Get(key); return err })
	return value, err
}

// GetUint64 implements [raft.StableStore].
func (s *store) GetUint64(key []byte) (value uint64, err error) {
	err = s.guarded(func() error { value, err = s.bolt.GetUint64(key); return err })
	return value, err
}

// must returns only when do succeeds.
func (s *store) must(verb string, do func() error) {
	if err := s.guarded(do); err != nil {
		s.fail(diskError(verb, err))
		runtime.Goexit()
	}
}

// close closes the file, unless that might block for ever: then it stays open
// until the process ends.
func (s *store) close() error {
	if s.faulted.Load() {
		return boltfile.ErrTorn
	}
	return s.guarded(s.bolt.Close)
}

// guarded runs do on the file, and remembers a fault: bbolt reads through memory, where a
// file that became shorter, or a block that can't be read, shows as one.
func (s *store) guarded(do func() error) error {
	err := boltfile.Guard(do)
	if errors.Is(err, boltfile.ErrTorn) {
		s.faulted.Store(true)
	}
	return err
}

func diskError(verb string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e := errdefs.Wrap(errdefs.DiskFull, err, "the registry can't %s its log", verb)
		e.Hint = "make room and start the host again: nothing that was acknowledged is lost"
		return e
	}
	e := errdefs.Wrap(errdefs.Internal, err, "the registry can't %s its log", verb)
	e.Hint = "see to the disk, and start the host again"
	return e
}
