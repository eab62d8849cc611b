package host

import (
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// savedKept is how long a node keeps what was saved of a session that doesn't come.
	savedKept = 15 * time.Second
	// maxSavedBytes is how much of it there may be at once.
	maxSavedBytes = 256 << 20
)

// savedStore keeps what other nodes' workers have saved of sessions that this node is
// about to own.
type savedStore struct {
	most  int // bytes of each
	limit int // sessions

	mu    sync.Mutex // guards all below
	byID  map[SessionID]savedEntry
	bytes int
}

type savedEntry struct {
	SavedSession

	until time.Time
}

func newSavedStore(most, limit int) *savedStore {
	return &savedStore{most: most, limit: limit, byID: map[SessionID]savedEntry{}}
}

// TakeSaved keeps what another node's worker has saved of a session that this node is
// about to own, for a while. Nothing saved takes back what was kept. Errors:
// payload_too_large; queue_full.
func (h *Host) TakeSaved(s SavedSession) error {
	if err := validateSessionID(s.ID); err != nil {
		return err
	}
	return h.sessions.saved.put(s, time.Now())
}

func (st *savedStore) put(s SavedSession, now time.Time) error {
	if len(s.Saved) > st.most {
		return errdefs.New(errdefs.PayloadTooLarge, "%d bytes were saved of the session; at most %d", len(s.Saved), st.most)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.remove(s.ID)
	if len(s.Saved) == 0 {
		return nil
	}
	if !st.hasRoom(s) {
		st.purgeLocked(now)
	}
	if !st.hasRoom(s) {
		return errdefs.New(errdefs.QueueFull, "what was saved of %d sessions is kept already", len(st.byID))
	}
	st.byID[s.ID] = savedEntry{s, now.Add(savedKept)}
	st.bytes += len(s.Saved)
	return nil
}

func (st *savedStore) hasRoom(s SavedSession) bool {
	return len(st.byID) < st.limit && st.bytes+len(s.Saved) <= maxSavedBytes
}

// take gives what was saved of a session that has come here, without a home, with a
// move from a lower epoch; nil: nothing.
func (st *savedStore) take(record Session) []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	e, ok := st.byID[record.ID]
	if !ok || record.Epoch <= e.Epoch {
		return nil
	}
	st.remove(record.ID)
	if record.Home != "" || time.Now().After(e.until) {
		return nil
	}
	return e.Saved
}

// purge forgets what has been kept for long enough.
func (st *savedStore) purge(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.purgeLocked(now)
}

func (st *savedStore) purgeLocked(now time.Time) {
	for id, e := range st.byID {
		if now.After(e.until) {
			st.remove(id)
		}
	}
}

func (st *savedStore) remove(id SessionID) {
	st.bytes -= len(st.byID[id].Saved)
	delete(st.byID, id)
}
