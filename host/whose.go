package host

import (
	"context"
	"errors"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// whose says who is to be asked for a session, as this node sees it.
type whose int

const (
	ours   whose = iota
	lapsed       // ours, but the lease doesn't hold
	stale        // an earlier start of this node's, which will be this one's or another's
	theirs       // another node's
)

// whose reads memory alone. An owner that is zero is from the time when there was one
// node.
func (r *routes) whose(owner Owner) whose {
	self, holds := r.owners.Self()
	switch {
	case owner == (Owner{}), owner == self && holds:
		return ours
	case owner == self:
		return lapsed
	case owner.Node == self.Node:
		return stale
	}
	return theirs
}

// owner reads who owns a session. A node that knows nothing yet is like one without a
// lease: what concerns a session waits until it has one.
func (r *routes) owner(ctx context.Context, id SessionID) (owner Owner, epoch uint64, err error) {
	owner, epoch, err = r.owners.Owner(ctx, id)
	if knowsNothing(err) {
		err = errdefs.Wrap(errdefs.Fenced, err, "this node has found no majority of the others since it started")
	}
	return owner, epoch, err
}

// errTheirs marks what only another node can do.
var errTheirs = errors.New("another node owns it")

// refuse is the error of a call that this node can't run; nil: it can.
func (w whose) refuse(id SessionID, owner Owner) error {
	var e *errdefs.Error
	switch w {
	case ours:
		return nil
	case lapsed:
		e = errdefs.New(errdefs.Fenced, "this node has no lease, and so serves no sessions")
		e.Hint = "it gets one once it reaches a leader"
	case stale:
		e = errdefs.Wrap(errdefs.SessionMoved, errTheirs, "session %q was left by an earlier start of node %s", names.Cut(string(id)), owner.Node)
	case theirs:
		e = errdefs.Wrap(errdefs.SessionMoved, errTheirs, "session %q isn't this node's", names.Cut(string(id)))
		e.Hint = "ask node " + owner.Node
	}
	return e
}

// own fails for a session that the registry says is another node's, or none's for now.
func (t *sessions) own(record Session) error {
	if t.routes == nil {
		return nil
	}
	w := t.routes.whose(record.Owner)
	if record.local() && w.once() {
		return nil
	}
	return w.refuse(record.ID, record.Owner)
}

// once reports whether it was this node's, and may be so no more.
func (w whose) once() bool { return w == lapsed || w == stale }

// whoseIs is whose for a session that may be one which never leaves its node. Only one
// that this node has no lease for is looked up.
func (r *routes) whoseIs(ctx context.Context, id SessionID, owner Owner) whose {
	w := r.whose(owner)
	if !w.once() {
		return w
	}
	if record, err := r.host.cfg.Registry.Session(ctx, id); err == nil && record.local() {
		return ours
	}
	return w
}

// ends reports whether this node may end a session that nobody uses: that's a write,
// and nothing to try without a lease.
func (t *sessions) ends(record Session) error {
	if record.local() && t.lapsed() {
		return lapsed.refuse(record.ID, record.Owner)
	}
	return t.own(record)
}

// disowned makes fenced what a call from another node gets whose worker was ended
// because its session isn't this node's any more: that node knows then where else to go.
func (c *Call) disowned(ctx context.Context, err error) error {
	r := c.host.routes
	if r == nil || !c.handed || c.req.Session == "" || errdefs.ReasonOf(err) != errdefs.WorkerCrashed {
		return err
	}
	owner, _, unknown := r.owners.Owner(ctx, c.req.Session)
	if unknown == nil && r.whoseIs(ctx, c.req.Session, owner) == ours {
		return err
	}
	e := errdefs.Wrap(errdefs.Fenced, err, "the session isn't this node's any more")
	e.MayHaveRun = errdefs.MayHaveRun(err)
	e.Where = errdefs.Of(err).Where
	return e
}

const (
	// behindMost is how long a call from another node waits for this node to learn what
	// that one knows of its session already.
	behindMost  = 500 * time.Millisecond
	behindEvery = 10 * time.Millisecond
)

// admits fails unless this node may run a session's call that another one has handed
// over, which knows the session at an epoch; zero: it doesn't know it.
func (r *routes) admits(ctx context.Context, id SessionID, epoch uint64) error {
	if r == nil || id == "" {
		return nil
	}
	for until := time.Now().Add(behindMost); ; {
		owner, known, err := r.owner(ctx, id)
		behind := known < epoch
		switch {
		case behind && time.Now().Before(until):
		case behind && errdefs.ReasonOf(err) == errdefs.SessionNotFound:
			return errdefs.Wrap(errdefs.SessionMoved, errTheirs, "this node knows no session %q", names.Cut(string(id)))
		case errdefs.ReasonOf(err) == errdefs.SessionNotFound:
			return nil // it may be opened here
		case err != nil:
			return err
		default:
			return r.whoseIs(ctx, id, owner).refuse(id, owner)
		}
		if !sleep(ctx, behindEvery) {
			return ended(ctx, "while the node waited to hear of the session")
		}
	}
}
