package cluster

import (
	"sync"

	"github.com/snakepit-go/snakepit/host"
)

// watch tells those outside the state machine that something changed in it. It
// holds ids, never rows: whoever is told looks at what is there then. A nil watch
// tells nobody.
type watch struct {
	self string // whose sessions are told of

	mu      sync.Mutex // guards all below
	touched map[host.SessionID]struct{}
	all     bool          // instead of touched: a snapshot was restored
	wake    chan struct{} // has room for one: something of ours was touched
	changes chan struct{} // has room for one: nodes changed
}

func newWatch(self string) *watch {
	return &watch{self: self, touched: map[host.SessionID]struct{}{}, wake: make(chan struct{}, 1), changes: make(chan struct{}, 1)}
}

// nodes notes that a node changed.
func (w *watch) nodes() {
	if w != nil {
		signal(w.changes)
	}
}

// owner notes that a session has another epoch or owner, when it is or was ours.
func (w *watch) owner(id host.SessionID, before, after Owner) {
	if w == nil || before.Node != w.self && after.Node != w.self {
		return
	}
	w.mu.Lock()
	w.touched[id] = struct{}{}
	w.mu.Unlock()
	signal(w.wake)
}

// everything notes that anything may have changed.
func (w *watch) everything() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.all = true
	w.mu.Unlock()
	signal(w.wake)
	signal(w.changes)
}

// take gives what was noted, once.
func (w *watch) take() (touched map[host.SessionID]struct{}, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	touched, all = w.touched, w.all
	w.touched, w.all = map[host.SessionID]struct{}{}, false
	return touched, all
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
