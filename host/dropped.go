package host

import (
	"slices"
	"strconv"

	"github.com/snakepit-go/snakepit/proto/names"
)

// dropped is what is left to do for a session that isn't this node's any more.
type dropped struct {
	session *session
	home    *member
	tie     tie
	aboard  []*grant // calls that mustn't go on
	parting *parting // nil: its home needn't be told
}

// drop takes a session away from this node: who waits in it is told so, and nothing
// of it is started any more. It returns nil where somebody else did that before.
func (s *session) drop() *dropped {
	s.mu.Lock()
	if s.phase != phaseOpen && s.phase != phaseExpired {
		s.mu.Unlock()
		return nil
	}
	d := &dropped{session: s, home: s.home, tie: s.record.tie(), aboard: slices.Clone(s.aboard), parting: s.partingLocked(true)}
	s.phase, s.home = phaseMoved, nil
	first := s.sendAway()
	s.mu.Unlock()
	close(s.left)
	tellTurns(first)
	return d
}

// drop takes away a session that has moved to another node, or else is gone. The workers
// that run its calls are killed: those mustn't go on beside the new owner's.
func (t *sessions) drop(s *session, moved bool) {
	d := s.drop()
	if d == nil {
		return
	}
	for _, g := range d.aboard {
		t.host.killFor(g.member, "session "+strconv.Quote(names.Cut(string(s.id)))+" isn't this node's any more")
	}
	t.settleDrop(d, moved)
}

// settleDrop forgets the session once nothing of it can go on. Its home is told last,
// if it lives: it may keep something in memory.
func (t *sessions) settleDrop(d *dropped, moved bool) {
	d.session.pool.moveHome(d.home, nil, d.tie)
	t.remove(d.session)
	if d.parting != nil {
		d.parting.moved = moved
	}
	t.host.bid(d.parting)
}

// serves reports whether one of the calls is of a session that needs a lease.
func serves(f *fifo[*grant]) bool {
	for l := f.head; l != nil; l = l.next {
		if l.value.ticket.session != "" && !l.value.local.Load() {
			return true
		}
	}
	return false
}
