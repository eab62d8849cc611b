package worker

import (
	"container/list"
	"sync"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// maxFences bounds the sessions whose epochs are remembered.
const maxFences = 100_000

// fences is the highest epoch that the worker has seen of each session. It's the
// process's: the next host finds what the last one's calls have left. Those that
// haven't been called for longest are forgotten first.
type fences struct {
	most int

	mu      sync.Mutex // guards the fields below
	bySess  map[string]*list.Element
	recency list.List // of fence, the one called last in front
}

type fence struct {
	session string
	highest uint64
}

func newFences(most int) *fences {
	return &fences{most: most, bySess: map[string]*list.Element{}}
}

// admit takes a call's epoch in, and refuses one below the highest. A call without
// an epoch is never refused.
func (f *fences) admit(r lane.Request) error {
	if r.Epoch == 0 || r.Session == "" {
		return nil
	}
	if highest := f.see(r.Session, r.Epoch); highest > r.Epoch {
		e := errdefs.New(errdefs.Fenced, "the session has had epoch %d here, and this call has %d", highest, r.Epoch)
		e.Hint = "its owner is another host by now"
		return e.At(errdefs.Where{Tool: r.Tool, Session: r.Session, Call: r.ID})
	}
	return nil
}

// see gives the highest epoch of a session, the given one included.
func (f *fences) see(session string, epoch uint64) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.bySess[session]; ok {
		f.recency.MoveToFront(at)
		known, _ := at.Value.(*fence)
		known.highest = max(known.highest, epoch)
		return known.highest
	}
	f.bySess[session] = f.recency.PushFront(&fence{session, epoch})
	if f.recency.Len() > f.most {
		oldest, _ := f.recency.Remove(f.recency.Back()).(*fence)
		delete(f.bySess, oldest.session)
	}
	return epoch
}
