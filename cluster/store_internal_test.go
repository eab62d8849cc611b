package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func openNode(tb testing.TB, dir string) *Node {
	tb.Helper()
	n, err := Open(tb.Context(), Config{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = n.Close() })
	return n
}

// ends waits for the node to end by itself and gives the reason.
func ends(t *testing.T, n *Node) errdefs.Reason {
	t.Helper()
	select {
	case <-n.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the node goes on")
	}
	return errdefs.ReasonOf(n.Err())
}

// newStore is a store with two entries, and what it said when it gave up.
func newStore(t *testing.T) (s *store, said *error) {
	t.Helper()
	said = new(error)
	d := &disk{dir: t.TempDir(), fail: func(err error) { *said = err }}
	if err := d.openBolt(); err != nil {
		t.Fatal(err)
	}
	s = d.bolt
	t.Cleanup(func() { _ = s.close() })
	if err := s.StoreLogs([]*raft.Log{{Index: 5, Data: []byte("a")}, {Index: 6, Data: []byte("b")}}); err != nil {
		t.Fatal(err)
	}
	return s, said
}

// returns reports whether do returns, on a goroutine that the store may end.
func returns(do func()) bool {
	returned, ended := false, make(chan struct{})
	go func() {
		defer close(ended)
		do()
		returned = true
	}()
	<-ended
	return returned
}

func TestStoreKeepsWhatRaftGives(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	var entry raft.Log
	if err := s.GetLog(6, &entry); err != nil || string(entry.Data) != "b" {
		t.Errorf("entry %+v (%v)", entry, err)
	}
	if err := s.GetLog(4, &entry); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("a compacted entry: %v", err)
	}
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil || first != 5 || last != 6 {
		t.Errorf("entries %d to %d (%v)", first, last, err)
	}
	if err := errors.Join(s.Set([]byte("k"), []byte("v")), s.SetUint64([]byte("n"), 7)); err != nil {
		t.Fatal(err)
	}
	v, err1 := s.Get([]byte("k"))
	n, err2 := s.GetUint64([]byte("n"))
	if err := errors.Join(err1, err2); err != nil || string(v) != "v" || n != 7 {
		t.Errorf("%q, %d (%v)", v, n, err)
	}
	if _, err := s.GetUint64([]byte("none")); err == nil || err.Error() != "not found" {
		t.Errorf("what Raft takes for a new store is %v", err)
	}
}

func TestStoreThatCannotGoOnNeverReturnsToRaft(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(s *store){
		"append":            func(s *store) { _ = s.StoreLog(&raft.Log{Index: 7}) },
		"save a value":      func(s *store) { _ = s.Set([]byte("k"), nil) },
		"save the term":     func(s *store) { _ = s.SetUint64([]byte("k"), 1) },
		"read what's there": func(s *store) { _ = s.GetLog(6, &raft.Log{}) },
	} {
		s, said := newStore(t)
		if err := s.bolt.Close(); err != nil {
			t.Fatal(err)
		}
		if returns(func() { do(s) }) {
			t.Errorf("%s: Raft goes on", name)
		}
		if *said == nil {
			t.Errorf("%s: nobody was told", name)
		}
	}
	s, said := newStore(t)
	if err := s.GetLog(9, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) || *said != nil {
		t.Errorf("an entry that hasn't come yet: %v, said %v", err, *said)
	}
	if err := s.StoreLogs([]*raft.Log{{Index: 9, Data: []byte("c")}}); err != nil {
		t.Fatal(err)
	}
	if returns(func() { _ = s.GetLog(8, &raft.Log{}) }) || *said == nil {
		t.Errorf("an entry that is missing: %v", *said)
	}
	s, said = newStore(t)
	_ = s.bolt.Close()
	if err := s.DeleteRange(5, 5); err == nil || *said == nil {
		t.Errorf("compaction: %v, said %v", err, *said)
	}
}

func TestFullDiskIsToldFromABrokenOne(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]errdefs.Reason{
		syscall.ENOSPC: errdefs.DiskFull, syscall.EDQUOT: errdefs.DiskFull, syscall.EIO: errdefs.Internal, boltfile.ErrTorn: errdefs.Internal,
	} {
		if got := errdefs.ReasonOf(diskError("write", fmt.Errorf("write raft.db: %w", err))); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

func TestNodeWhoseLogIsGoneEndsAndTheProgramLives(t *testing.T) {
	t.Parallel()
	n := openNode(t, t.TempDir())
	if err := n.disk.bolt.bolt.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := n.OpenSession(t.Context(), host.Session{ID: "a"})
	if errdefs.ReasonOf(err) != errdefs.Internal {
		t.Errorf("the write: %v", err)
	}
	if reason := ends(t, n); reason != errdefs.Internal {
		t.Errorf("the node ended with %v", n.Err())
	}
	if _, err := n.Session(t.Context(), "a"); errdefs.ReasonOf(err) != errdefs.Internal {
		t.Errorf("a read: %v", err)
	}
	if err := n.Close(); !errors.Is(err, n.Err()) {
		t.Errorf("Close: %v", err)
	}
}

// TestFileThatShrinksUnderTheNodeEndsIt makes bbolt fault when it reads its file.
func TestFileThatShrinksUnderTheNodeEndsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, dir)
	if err := os.Truncate(filepath.Join(dir, logFile), 0); err != nil {
		t.Fatal(err)
	}
	_, err := n.OpenSession(t.Context(), host.Session{ID: "a"})
	if errdefs.ReasonOf(err) != errdefs.Internal {
		t.Errorf("the write: %v", err)
	}
	if reason := ends(t, n); reason != errdefs.Internal {
		t.Errorf("the node ended with %v", n.Err())
	}
}

// TestNodeThatEndsInTheMiddleOfWritesAnswersThemAll closes the log under a node
// that many write to.
func TestNodeThatEndsInTheMiddleOfWritesAnswersThemAll(t *testing.T) {
	t.Parallel()
	n := openNode(t, t.TempDir())
	const writers = 64
	errs := make(chan error, writers)
	var writing sync.WaitGroup
	writing.Add(writers)
	for w := range writers {
		go func() {
			for i := 0; ; i++ {
				_, err := n.OpenSession(t.Context(), host.Session{ID: host.SessionID(fmt.Sprintf("%d-%d", w, i))})
				if i == 0 {
					writing.Done()
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	writing.Wait()
	if err := n.disk.bolt.bolt.Close(); err != nil {
		t.Fatal(err)
	}
	for range writers {
		if err := <-errs; errdefs.ReasonOf(err) != errdefs.Internal {
			t.Errorf("a write ended with %v", err)
		}
	}
	ends(t, n)
}
