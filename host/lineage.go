package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lineage names the calls that a call is nested in: those that can't end before it
// does. It travels in the context of host tools.
type lineage struct {
	session SessionID
	grant   *grant // what the call holds of a worker; nil: nothing, or it isn't known
	parent  *lineage
}

type lineageKey struct{}

func withLineage(ctx context.Context, l *lineage) context.Context {
	return context.WithValue(ctx, lineageKey{}, l)
}

// lineageOf returns nil for a call that isn't nested.
func lineageOf(ctx context.Context) *lineage {
	l, _ := ctx.Value(lineageKey{}).(*lineage)
	return l
}

// has reports whether one of the calls is of a session.
func (l *lineage) has(id SessionID) bool {
	for ; l != nil; l = l.parent {
		if l.session == id && id != "" {
			return true
		}
	}
	return false
}

// ownAncestor is for a call that would wait for one of its own ancestors.
func ownAncestor() error {
	e := errdefs.New(errdefs.CallCycle, "the call was made by a call of the same session, which it would wait for")
	e.Hint = "call without the session, or from outside"
	return e
}

// descent is the lineage of what a worker's call makes. The worker names the call;
// one that doesn't run there counts for no more than the session that it names.
func (h *Host) descent(from WorkerID, inv Invocation) *lineage {
	for _, p := range h.order {
		if g := p.runs(from, inv.ID); g != nil {
			return &lineage{session: g.ticket.session, grant: g, parent: g.ticket.line}
		}
	}
	return &lineage{session: inv.Session}
}

// runs finds a call by the worker that runs it; nil when it doesn't.
func (p *pool) runs(worker WorkerID, call string) *grant {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.serving[worker]
	if m == nil {
		return nil
	}
	for l := m.running.head; l != nil; l = l.next {
		if l.value.ticket.call == call {
			return l.value
		}
	}
	return nil
}
