package cluster

import (
	"context"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Pause says that this node is about to end and to start again within a time of at
// most five minutes, as for an upgrade: until then nobody gets what it owns, and its
// next start owns all of it under the same epochs, as soon as this one's lease has
// ended, which [Node.Close] sees to. It gets nothing new from here on, and keeps its
// lease until it's closed. Zero: it goes on after all. It blocks until that is
// recorded. A host that is no node of several has nobody to tell. Errors:
// invalid_arguments; fenced while the node isn't registered; those of a write.
func (n *Node) Pause(ctx context.Context, within time.Duration) error {
	if within < 0 || within > maxPause {
		return errdefs.New(errdefs.InvalidArguments, "a node can't pause for %s, only for up to %s", within, maxPause)
	}
	if err := n.check(ctx); err != nil || n.mesh == nil {
		return err
	}
	_, err := n.propose(ctx, pauseNode(Owner{Node: n.ID(), Incarnation: n.mesh.incarnation()}, within))
	return err
}

// paused is a node that has said when it's back.
type paused struct {
	row *Member // which said so
	end time.Duration
}

// pausing reports whether a node isn't to be declared down yet, since it said that
// it would be back. It's called under the lock.
func (o *office) pausing(row *Member, now time.Duration) bool {
	if row.Status != StatusPausing {
		delete(o.paused, row.ID)
		return false
	}
	p, known := o.paused[row.ID]
	if !known || p.row != row {
		p = paused{row, now + row.Pause}
		o.paused[row.ID] = p
	}
	return now < p.end
}
