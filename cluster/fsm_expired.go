package cluster

import (
	"maps"
	"slices"

	"github.com/snakepit-go/snakepit/host"
)

// expired remembers the ids of the sessions that expired last.
type expired struct {
	max   int
	ids   map[host.SessionID]struct{}
	order []host.SessionID // a ring, once it's full: the oldest is at next
	next  int
}

func newExpired(limit int) *expired {
	return &expired{max: limit, ids: map[host.SessionID]struct{}{}}
}

func (e *expired) has(id host.SessionID) bool {
	_, ok := e.ids[id]
	return ok
}

// add remembers an id that isn't there yet, and forgets the oldest where there are
// too many.
func (e *expired) add(id host.SessionID) {
	if len(e.order) < e.max {
		e.order = append(e.order, id)
	} else {
		delete(e.ids, e.order[e.next])
		e.order[e.next] = id
		e.next = (e.next + 1) % e.max
	}
	e.ids[id] = struct{}{}
}

// oldestFirst lists the ids in the order in which they came.
func (e *expired) oldestFirst() []host.SessionID {
	return slices.Concat(e.order[e.next:], e.order[:e.next])
}

func (e *expired) clone() *expired {
	return &expired{max: e.max, ids: maps.Clone(e.ids), order: slices.Clone(e.order), next: e.next}
}
