package rpc

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// shiftWait is how long a session's running calls may take to end, where nobody says.
const shiftWait = 30 * time.Second

// Mover moves sessions between the nodes of a cluster, as one of these sees it.
type Mover struct {
	Engine *host.Host
	View   ClusterView
}

// Rebalance is what is to be evened out, and how.
type Rebalance struct {
	Pool    string                  // empty: the sessions of each
	DryRun  bool                    // nothing is moved
	Wait    time.Duration           // for a session's running calls to end; zero: 30 s
	Planned func(host.Balance)      // is told what's to be done; nil: nobody is
	Done    func(host.Shift, error) // is told what became of each move, by one goroutine at a time; nil: nobody is
}

// MoveSession has the owner of a session hand it over to a node, and says which node had
// it: the same one where there was nothing to move. ctx bounds how long the session's
// running calls may take to end. Errors: invalid_arguments for a node that isn't known;
// conflict for one that gets no sessions; host_unreachable and unimplemented for one
// that doesn't say whether it has room; those of host.Host.MoveSession.
func (m Mover) MoveSession(ctx context.Context, id host.SessionID, node string) (from string, err error) {
	c := m.View.View()
	n, known := c.Node(node)
	if !known {
		return "", errdefs.New(errdefs.InvalidArguments, "no node %q is known", names.Cut(node))
	}
	owner, err := m.Engine.SessionOwner(ctx, id)
	if err != nil {
		return "", at(err, c.Self, id)
	}
	to := host.NodeRoom{Owner: ownerOf(n)}
	if owner.Node != node { // else it needs no room there
		if to, err = m.room(ctx, c, n); err != nil {
			return "", at(err, n.ID, id)
		}
	}
	owner, err = m.Engine.MoveSession(ctx, id, to)
	return owner.Node, err
}

// at is an error with where it is from, unless it says so.
func at(err error, node string, id host.SessionID) error {
	e := *errdefs.Of(err)
	return e.At(errdefs.Where{Node: node, Session: string(id)})
}

func ownerOf(n members.Node) host.Owner { return host.Owner{Node: n.ID, Incarnation: n.Incarnation} }

// room asks a node whether it may get sessions.
func (m Mover) room(ctx context.Context, c members.Cluster, n members.Node) (host.NodeRoom, error) {
	room := host.NodeRoom{Owner: ownerOf(n)}
	if why := idle(n); why != "" {
		e := errdefs.New(errdefs.Conflict, "node %q %s: it gets no sessions", n.ID, why)
		e.Hint = "`snakepit cluster status` lists those that are up"
		return room, e
	}
	if n.ID == c.Self {
		room.Pools = m.Engine.Room()
		return room, nil
	}
	ctx, cancel := context.WithTimeout(ctx, surveyWait)
	defer cancel()
	conn, err := m.View.Dial(ctx, n.ID)
	if err != nil {
		return room, errdefs.Wrap(errdefs.HostUnreachable, err, "node %q", n.ID)
	}
	w, err := snakepitv1.NewPeerClient(conn).Room(ctx, &snakepitv1.PeerRoomRequest{})
	if err == nil {
		room.Pools = w.GetPools()
		return room, nil
	}
	if said := peerError(ctx, n.ID, err, false); errdefs.ReasonOf(said) == errdefs.Unimplemented {
		return room, errdefs.Wrap(errdefs.Unimplemented, err, "node %q is older than this one, and doesn't say for what it has room", n.ID)
	}
	return room, errdefs.Wrap(errdefs.HostUnreachable, err, "node %q doesn't answer", n.ID)
}

// idle says why a node gets no sessions; empty: it may.
func idle(n members.Node) string {
	switch {
	case !n.Member:
		return "is no member any more"
	case n.Status != "up":
		return "is " + n.Status
	}
	return ""
}

// Rebalance moves sessions until, in each pool, no node that is up has more than one
// above another. A move that fails stops no other one, and isn't an error. When ctx ends
// no further one is begun. Errors: pool_not_found where no node that is up has the pool;
// those of host.Host.Shift.
func (m Mover) Rebalance(ctx context.Context, r Rebalance) error {
	rooms, out := m.rooms(ctx)
	if r.Pool != "" && !offered(r.Pool, rooms) {
		return errdefs.New(errdefs.PoolNotFound, "no node that answers has a pool named %q", names.Cut(r.Pool))
	}
	b, err := m.Engine.Balance(ctx, r.Pool, rooms)
	if err != nil {
		return err
	}
	b.LeftOut = out
	if r.Planned != nil {
		r.Planned(b)
	}
	if r.DryRun {
		return nil
	}
	return m.Engine.Shift(ctx, b.Shifts, cmp.Or(r.Wait, shiftWait), r.Done)
}

func offered(pool string, rooms []host.NodeRoom) bool {
	for _, n := range rooms {
		if _, has := n.Pools[pool]; has {
			return true
		}
	}
	return false
}

// rooms asks all nodes at once. Those that have left are no nodes any more.
func (m Mover) rooms(ctx context.Context) (rooms []host.NodeRoom, out []host.LeftOut) {
	c := m.View.View()
	found, errs := make([]host.NodeRoom, len(c.Nodes)), make([]error, len(c.Nodes))
	var asking sync.WaitGroup
	for i, n := range c.Nodes {
		asking.Go(func() { found[i], errs[i] = m.room(ctx, c, n) })
	}
	asking.Wait()
	for i, n := range c.Nodes {
		switch {
		case errs[i] == nil:
			rooms = append(rooms, found[i])
		case n.Member:
			out = append(out, host.LeftOut{Node: n.ID, Why: leftOut(n, errs[i])})
		}
	}
	return rooms, out
}

func leftOut(n members.Node, err error) string {
	switch why := idle(n); {
	case why != "":
		return why
	case errdefs.ReasonOf(err) == errdefs.Unimplemented:
		return "is older than the node that was asked"
	}
	return "doesn't answer"
}

// answerFirst is how long before its deadline a request gives up waiting, so that its
// caller hears for what.
const answerFirst = 100 * time.Millisecond

// sooner ends a little before its parent's deadline.
func sooner(ctx context.Context) (context.Context, context.CancelFunc) {
	end, has := ctx.Deadline()
	if !has {
		return context.WithCancel(ctx)
	}
	left := time.Until(end)
	return context.WithTimeout(ctx, left-min(answerFirst, left/4))
}
