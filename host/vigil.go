package host

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// vigilEvery is how often it's looked whether a node still owns the session whose call
// it has.
const vigilEvery = 200 * time.Millisecond

// vigil ends a call that was handed to a session's owner once that node is down and
// the session another's: what it does counts for nothing then, and it may never answer.
// A session that has moved as planned isn't the vigil's business: its calls have ended,
// and their results are under way.
type vigil struct {
	routes  *routes
	session SessionID
	node    string
	cancel  context.CancelCauseFunc
	over    atomic.Bool
	timer   *time.Timer
}

// keepVigil returns nil for a call without a session, and one on this node.
func (r *routes) keepVigil(ctx context.Context, cancel context.CancelCauseFunc, id SessionID, node string) *vigil {
	if id == "" || node == "" {
		return nil
	}
	v := &vigil{routes: r, session: id, node: node, cancel: cancel}
	v.timer = time.AfterFunc(time.Hour, func() { v.look(ctx) })
	v.timer.Reset(vigilEvery) // the field is set before look can run
	return v
}

func (v *vigil) look(ctx context.Context) {
	if v.lost(ctx) {
		e := errdefs.New(errdefs.Fenced, "node %s is down, and the session another's", v.node)
		e.MayHaveRun = true // for whoever gives the cause to the call's reader as it is
		v.cancel(e)
		return
	}
	if !v.over.Load() {
		v.timer.Reset(vigilEvery)
	}
}

func (v *vigil) lost(ctx context.Context) bool {
	owner, _, err := v.routes.owners.Owner(ctx, v.session)
	if err != nil || owner.Node == v.node {
		return false
	}
	return !slices.ContainsFunc(v.routes.list(), func(t NodeTool) bool { return t.Node == v.node })
}

func (v *vigil) end() {
	if v != nil {
		v.over.Store(true)
		v.timer.Stop()
	}
}
