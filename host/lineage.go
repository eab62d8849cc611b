package host

import (
	"context"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lineage names the sessions of the calls that a call is nested in: those that
// can't end before it does. It travels in the context of host tools.
type lineage struct {
	session SessionID
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

// refuse fails with call_cycle when a call in this session would wait for one
// of its own ancestors.
func (l *lineage) refuse(id SessionID) error {
	for ; l != nil; l = l.parent {
		if l.session == id && id != "" {
			e := errdefs.New(errdefs.CallCycle, "the call was made by a call of the same session, which it would wait for")
			e.Hint = "call without the session, or from outside"
			return e
		}
	}
	return nil
}
