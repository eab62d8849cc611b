package client

import "sync"

// mostOwners bounds the sessions whose owner a client remembers. Where there are
// more it begins anew: a session's next call learns it again.
const mostOwners = 65536

// owners remembers which node has a session.
type owners struct {
	mu sync.RWMutex // guards by
	by map[string]*target
}

// of is the owner of a session; nil where it isn't known.
func (o *owners) of(session string) *target {
	if session == "" {
		return nil
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.by[session]
}

func (o *owners) note(session string, t *target) {
	if o.of(session) == t {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil || len(o.by) >= mostOwners {
		o.by = map[string]*target{}
	}
	o.by[session] = t
}

// forget drops what is known of a session whose node doesn't answer.
func (o *owners) forget(session string, t *target) {
	if session == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by[session] == t {
		delete(o.by, session)
	}
}
