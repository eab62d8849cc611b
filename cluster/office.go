package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// lookEvery is the time between two looks at whose lease has ended.
	lookEvery = 50 * time.Millisecond
	// pausedAfter is how late a look may be before it's the leader who was away.
	pausedAfter = 300 * time.Millisecond
	// replaceAfter is how long a voter must be down before another votes in its place.
	replaceAfter = time.Minute
	// maxLag is how many entries of commands a node may be behind, and be called
	// caught up: about as many as come between two of its renewals.
	maxLag = 1024
)

// office is what a leader does, for one term: it grants leases, declares nodes down
// whose lease has ended, gives their sessions to others, and sees to who votes.
// What it decides carries its term, and changes nothing in a later one.
type office struct {
	m     *mesh
	term  uint64
	since time.Duration // when it began
	gate  chan struct{} // has room for one: who changes the membership
	kick  chan struct{} // has room for one: look now

	// Only run uses what follows.
	tokens   map[uint64]time.Duration // since when it has known each, by its epoch
	orphaned map[Owner]time.Duration  // since when it has seen sessions of each that lost it

	mu      sync.Mutex // guards all below
	alone   bool       // no other node is a member
	watched map[string]*watched
	until   map[Owner]time.Duration // when the leases end of those who gave way to a new start
	looked  time.Duration
	paused  map[string]paused
}

// watched is a node whose lease this leader grants.
type watched struct {
	incarnation uint64
	deadAt      time.Duration
	condemned   bool // gets no more leases under this incarnation
	pools       map[string]uint32
	applied     uint64
	draining    bool
	rehomeAfter time.Duration
	heard       bool // it has renewed in this term
}

func newOffice(m *mesh) *office {
	return &office{
		m: m, gate: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		watched: map[string]*watched{}, until: map[Owner]time.Duration{}, paused: map[string]paused{},
	}
}

// run blocks until ctx ends, or until this node doesn't lead any more.
func (o *office) run(ctx context.Context) {
	if !o.enter(ctx) {
		return
	}
	defer o.m.office.CompareAndSwap(o, nil)
	if err := o.agree(ctx); err != nil {
		o.m.n.log.Warn("the rules aren't agreed upon yet", "error", err)
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	next := time.Duration(0) // when some sessions may need another owner
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
		case <-o.kick:
		case <-o.m.watch.changes:
			next = 0
			o.raiseLevel(ctx)
		case <-ctx.Done():
			return
		}
		o.declare(ctx)
		if o.m.clock.Now() >= next {
			next = o.rehome(ctx)
		}
		if n%4 == 0 {
			o.seatVoters(ctx)
			o.dropTokens(ctx)
		}
	}
}

// enter waits until this leader has applied all that was acknowledged before its
// term, and gives every node a full lease: a former leader may have granted one just
// before.
func (o *office) enter(ctx context.Context) bool {
	n := o.m.n
	o.term = n.raft.CurrentTerm()
	if err := o.m.asks.await(ctx, func() error { return n.raft.Barrier(0).Error() }); err != nil || ctx.Err() != nil || n.raft.CurrentTerm() != o.term {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.m.office.Store(o) // first: a former office grants nothing from here on
	o.since = o.m.clock.Now()
	o.looked = o.since
	o.alone = len(o.configured()) == 1
	for _, row := range n.machine.members() {
		if row.serves() {
			o.watched[row.ID] = &watched{incarnation: row.Incarnation, deadAt: o.m.n.timing.deadAt(o.since)}
		}
	}
	return true
}

// agree raises the generation and the rules where the registry is behind.
func (o *office) agree(ctx context.Context) error {
	n := o.m.n
	if g := n.disk.who().Generation; n.machine.generation() < g {
		if _, err := n.proposer.propose(ctx, raiseGeneration(g)); err != nil {
			return err
		}
	}
	return n.raiseLevel(ctx, o.term)
}

// raiseLevel is for when the last node may have come to know newer rules.
func (o *office) raiseLevel(ctx context.Context) {
	if err := o.m.n.raiseLevel(ctx, o.term); err != nil {
		o.m.n.log.Debug("the rules stay as they are", "error", err)
	}
}

// raiseLevel lets the log have what all nodes know.
func (n *Node) raiseLevel(ctx context.Context, term uint64) error {
	level, cluster := n.machine.level()
	known := n.machine.knows
	for _, row := range n.machine.members() {
		if row.Status != StatusLeft {
			known = min(known, row.MaxVersion)
		}
	}
	if known <= level && cluster != "" {
		return nil
	}
	o, err := n.proposer.propose(ctx, setFeatureLevel(max(known, level), newUUID(), term))
	if err == nil && o.err != nil {
		return o.err
	}
	return err
}

func (o *office) configured() []raft.Server {
	future := o.m.n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

// renew grants a lease, or takes one back.
func (o *office) renew(ctx context.Context, r *snakepitv1.RenewRequest) (*snakepitv1.RenewResponse, error) {
	received := o.m.clock.Now()
	if err := o.m.verifier.leads(ctx); err != nil {
		return nil, notLeading(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w, err := o.holder(r)
	if err != nil {
		return nil, err
	}
	if r.GetRelease() {
		w.condemned, w.deadAt = true, min(w.deadAt, received)
		signal(o.kick)
		return &snakepitv1.RenewResponse{}, nil
	}
	w.deadAt = max(w.deadAt, o.m.n.timing.deadAt(received))
	w.applied, w.draining, w.heard = r.GetApplied(), r.GetDraining(), true
	w.rehomeAfter = min(max(0, r.GetRehomeAfter().AsDuration()), maxRehomeAfter)
	w.pools = map[string]uint32{}
	for _, p := range r.GetPools() {
		w.pools[p.GetName()] = p.GetRoom()
	}
	return &snakepitv1.RenewResponse{Alone: o.alone && r.GetId() == o.m.n.ID()}, nil
}

// holder finds who asks for a lease, and refuses those who may have none.
func (o *office) holder(r *snakepitv1.RenewRequest) (*watched, error) {
	row, w := o.m.n.machine.member(r.GetId()), o.watched[r.GetId()]
	switch {
	case o.m.office.Load() != o:
		return nil, errdefs.New(errdefs.NotLeader, "this node leads another term")
	case row != nil && row.Status == StatusLeft:
		return nil, nodeRemoved(row.ID)
	case row == nil, w == nil, w.condemned, !row.serves(), row.Nonce != r.GetNonce(),
		row.Incarnation != r.GetIncarnation(), w.incarnation != r.GetIncarnation():
		return nil, errdefs.New(errdefs.Fenced, "node %q has no lease under incarnation %d any more", r.GetId(), r.GetIncarnation())
	}
	return w, nil
}

// declare says of nodes that they're down, or draining, and for how long they're waited
// for. Whether it came true shows at the next look.
func (o *office) declare(ctx context.Context) {
	for _, change := range append(o.condemn(), o.told()...) {
		if _, err := o.m.n.proposer.propose(ctx, change); err != nil {
			return
		}
	}
}

// told gives the commands for what nodes have said of themselves: that they drain, or
// don't any more, and how long they're to be waited for. One that hasn't ended in the
// time that it wanted to pause for goes on as before.
func (o *office) told() []*snakepitv1.RegistryCommand {
	now := o.m.clock.Now()
	level, _ := o.m.n.machine.level()
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*snakepitv1.RegistryCommand
	for _, row := range o.m.n.machine.members() {
		w := o.watched[row.ID]
		if w == nil || !w.heard || w.condemned || w.incarnation != row.Incarnation || !row.serves() || o.pausing(row, now) {
			continue
		}
		to := StatusUp
		if w.draining {
			to = StatusDraining
		}
		switch {
		case row.Status != to:
			all = append(all, setNodeStatus(row.ID, row.Incarnation, to, o.term))
		case row.RehomeAfter != w.rehomeAfter && level >= 3:
			all = append(all, setRehomeAfter(Owner{Node: row.ID, Incarnation: row.Incarnation}, w.rehomeAfter, o.term))
		}
	}
	return all
}

// condemn gives the commands that declare those nodes down whose leases have ended.
// A leader that was away itself gives the others that time as well: their renewals
// may wait at its door.
func (o *office) condemn() []*snakepitv1.RegistryCommand {
	now := o.m.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if gap := now - o.looked; gap > pausedAfter {
		for _, w := range o.watched {
			w.deadAt += gap
		}
	}
	o.looked = now
	var down []*snakepitv1.RegistryCommand
	for _, row := range o.m.n.machine.members() {
		if !row.serves() || row.ID == o.m.n.ID() {
			continue
		}
		w := o.watched[row.ID]
		if w == nil || w.incarnation != row.Incarnation { // its registration came true after all
			o.watched[row.ID] = &watched{incarnation: row.Incarnation, deadAt: o.m.n.timing.deadAt(now)}
			continue
		}
		if now >= w.deadAt && !o.pausing(row, now) {
			w.condemned = true
			down = append(down, setNodeStatus(row.ID, w.incarnation, StatusDown, o.term))
		}
	}
	return down
}

// seats lists the members as they are now.
func (o *office) seats() []seat {
	now, index := o.m.clock.Now(), o.m.n.machine.index()
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []seat
	for _, s := range o.configured() {
		row, w := o.m.n.machine.member(string(s.ID)), o.watched[string(s.ID)]
		alive := row != nil && row.serves() && w != nil && !w.condemned && w.heard && now < w.deadAt-o.m.n.timing.of(leaseGrace)
		all = append(all, seat{
			id: string(s.ID), voter: s.Suffrage == raft.Voter, leader: string(s.ID) == o.m.n.ID(),
			ready: alive && w.applied+maxLag >= index,
			lost:  !alive && now-o.since > replaceAfter && (w == nil || now-w.deadAt > replaceAfter),
		})
	}
	return all
}

// seatVoters makes the changes that a plan has, unless somebody else changes the
// membership now.
func (o *office) seatVoters(ctx context.Context) {
	select {
	case o.gate <- struct{}{}:
		defer func() { <-o.gate }()
	default:
		return
	}
	changes := plan(o.seats())
	for i, c := range changes {
		err := o.vote(ctx, c)
		if err == nil {
			continue
		}
		o.m.n.log.Warn("who votes can't be changed", "node", c.id, "error", err)
		if i == 1 && changes[0].promote && ctx.Err() == nil {
			_ = o.vote(ctx, votes{changes[0].id, false}) // or the next look does
		}
		return
	}
}

func (o *office) vote(ctx context.Context, c votes) error {
	r, id := o.m.n.raft, raft.ServerID(c.id)
	if !c.promote {
		return o.m.asks.await(ctx, func() error { return r.DemoteVoter(id, 0, raftTimeout).Error() })
	}
	for _, s := range o.configured() {
		if s.ID == id { // its address stays as it is: see configure
			return o.m.asks.await(ctx, func() error { return r.AddVoter(id, s.Address, 0, raftTimeout).Error() })
		}
	}
	return noNode(c.id)
}

// notLeading is what somebody gets who asks the wrong node for what only a leader does.
func notLeading(err error) error {
	if r := errdefs.ReasonOf(err); r == errdefs.Deadline || r == errdefs.Cancelled {
		return err
	}
	return errdefs.Wrap(errdefs.NotLeader, err, "this node doesn't lead")
}
