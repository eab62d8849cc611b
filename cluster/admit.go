package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// admit makes a node a member, or registers its new start.
func (o *office) admit(ctx context.Context, r *snakepitv1.JoinRequest) (*snakepitv1.JoinResponse, error) {
	if err := o.lock(ctx); err != nil {
		return nil, err
	}
	defer func() { <-o.gate }()
	m := memberFromWire(r.GetNode())
	if err := o.mayJoin(m, r); err != nil {
		return nil, err
	}
	if err := o.spend(ctx, m, r.GetToken()); err != nil {
		return nil, err
	}
	if err := o.supersede(ctx, m); err != nil {
		return nil, err
	}
	if level, _ := o.m.n.machine.level(); level < 3 {
		m.RehomeAfter = 0
	}
	o.m.book.note(m.ID, m.Address) // Raft is about to look for it there
	if err := o.configure(ctx, m); err != nil {
		return nil, err
	}
	o.noteEnd(m.ID) // before anybody sees that its sessions have no owner
	out, err := o.m.n.proposer.propose(ctx, registerNode(m, o.term))
	if err == nil && out.err != nil {
		err = out.err
	}
	if err != nil {
		return nil, err
	}
	o.watch(out.node)
	_, cluster := o.m.n.machine.level()
	return &snakepitv1.JoinResponse{Cluster: cluster, Incarnation: out.node.Incarnation}, nil
}

// lock waits for the right to change the membership.
func (o *office) lock(ctx context.Context) error {
	select {
	case o.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return gaveUp(ctx, false)
	}
}

// noteEnd remembers when the lease of a node's present incarnation ends, of which it may be
// about to have another.
func (o *office) noteEnd(id string) {
	now := o.m.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.watched[id]; old != nil && old.deadAt > now {
		o.until[Owner{Node: id, Incarnation: old.incarnation}] = old.deadAt
	}
	for owner, end := range o.until {
		if end <= now-time.Hour {
			delete(o.until, owner)
		}
	}
}

// watch begins a new incarnation's first lease.
func (o *office) watch(m *Member) {
	o.noteEnd(m.ID) // it may have been renewed since
	now := o.m.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watched[m.ID] = &watched{incarnation: m.Incarnation, deadAt: o.m.n.timing.deadAt(now)}
	signal(o.kick)
}

// mayJoin refuses whoever belongs elsewhere, was removed, is too old, or takes the
// id of a node that is alive.
func (o *office) mayJoin(m Member, r *snakepitv1.JoinRequest) error {
	n := o.m.n
	level, cluster := n.machine.level()
	row := n.machine.member(m.ID)
	switch {
	case names.CheckID("node", m.ID) != nil || m.Address == "" || len(m.Address) > names.MaxID || len(m.API) > names.MaxID || len(m.Name) > names.MaxID:
		return errdefs.New(errdefs.InvalidArguments, "a node needs an id and an address")
	case m.RehomeAfter < 0 || m.RehomeAfter > maxRehomeAfter:
		return errdefs.New(errdefs.InvalidArguments, "node %q wants to be waited for for %s", names.Cut(m.ID), m.RehomeAfter)
	case r.GetCluster() != "" && r.GetCluster() != cluster:
		e := errdefs.New(errdefs.WrongCluster, "node %q belongs to cluster %s, and this is %s", names.Cut(m.ID), names.Cut(r.GetCluster()), cluster)
		e.Hint = "move its directory away, and let it join as a new one"
		return e
	case row != nil && row.Status == StatusLeft:
		return nodeRemoved(m.ID)
	case !o.shows(m, r.GetToken()) && !n.machine.admits(sha256.Sum256([]byte(r.GetToken())), m.ID):
		e := errdefs.New(errdefs.PermissionDenied, "node %q shows no token that lets it join: it has none, or one that isn't known here, has been used, or is too old", names.Cut(m.ID))
		e.Hint = "`snakepit cluster token` on a member makes one, for --join-token; each lasts a day"
		return e
	case m.MaxVersion < level || m.MinVersion > level:
		return wrongLevel(m.ID, m.MinVersion, m.MaxVersion, level)
	}
	return o.mayReplace(row, m, r.GetSucceeds())
}

// shows reports whether a node needn't spend a token: it's known, or has the one that
// never changes.
func (o *office) shows(m Member, secret string) bool {
	n := o.m.n
	return m.ID == n.ID() || n.machine.member(m.ID) != nil || subtle.ConstantTimeCompare([]byte(secret), []byte(n.cfg.Token)) == 1
}

// spend uses a token that is recorded.
func (o *office) spend(ctx context.Context, m Member, secret string) error {
	if o.shows(m, secret) {
		return nil
	}
	out, err := o.m.n.proposer.propose(ctx, spendToken(sha256.Sum256([]byte(secret)), m.ID))
	if err == nil && out.err != nil {
		err = out.err
	}
	return err
}

// mayReplace refuses a second node of one id while the first one may be alive. The
// leader's own former start isn't: it had the directory's lock; nor is the one that m has seen
// to be gone. Others than m get no session of that before its lease has ended: see over.
func (o *office) mayReplace(row *Member, m Member, gone string) error {
	if row == nil || !row.serves() || m.ID == o.m.n.ID() || gone != "" && gone == row.Nonce {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.watched[m.ID]
	if w == nil || w.incarnation != row.Incarnation || row.Nonce == m.Nonce && !w.condemned {
		return nil
	}
	if row.Status == StatusPausing && o.m.clock.Now() >= w.deadAt {
		return nil // as it said
	}
	e := errdefs.New(errdefs.Exists, "another node %q may be alive at %s", names.Cut(m.ID), row.Address)
	e.Hint = "two hosts must not have copies of one directory; one that has just ended is waited for"
	return e
}

// configure makes Raft know a node: first without a vote. Nothing waits for a node
// without one, so that one that can't be reached does no harm. A member that has
// moved stays where it was in Raft's configuration, which is asked for addresses
// last: Raft 1.8.0 changes that of a follower under the feet of who sends to it. The
// leader's own is mended, since nobody sends to it there.
func (o *office) configure(ctx context.Context, m Member) error {
	id, address := raft.ServerID(m.ID), raft.ServerAddress(m.Address)
	var known, former *raft.Server
	for _, s := range o.configured() {
		switch {
		case s.ID == id:
			known = &s
		case o.m.address(string(s.ID)) == m.Address:
			e := errdefs.New(errdefs.Exists, "node %q is the one at %s", s.ID, names.Cut(m.Address))
			e.Hint = "when it's gone for good, remove it first"
			return e
		case s.Address == address:
			former = &s
		}
	}
	if known != nil && (known.Address == address || m.ID != o.m.n.ID()) {
		return nil
	}
	if m.ID != o.m.n.ID() {
		if err := o.grow(ctx); err != nil {
			return err
		}
	}
	if former != nil { // Raft takes no two at one address
		now := raft.ServerAddress(o.m.address(string(former.ID)))
		if err := o.station(ctx, former.ID, now, former.Suffrage == raft.Voter); err != nil {
			return err
		}
	}
	return o.station(ctx, id, address, known != nil && known.Suffrage == raft.Voter)
}

// station makes Raft have a member at an address.
func (o *office) station(ctx context.Context, id raft.ServerID, address raft.ServerAddress, votes bool) error {
	r := o.m.n.raft
	if votes {
		return o.m.asks.await(ctx, func() error { return r.AddVoter(id, address, 0, raftTimeout).Error() })
	}
	return o.m.asks.await(ctx, func() error { return r.AddNonvoter(id, address, 0, raftTimeout).Error() })
}

// grow is for a sole member that is about to be one of two: its lease gets an end,
// and its log is one that others will count on.
func (o *office) grow(ctx context.Context) error {
	o.mu.Lock()
	was := o.alone
	o.alone = false
	o.mu.Unlock()
	if !was {
		return nil
	}
	if err := o.m.n.disk.belong(o.m.cluster(), true); err != nil {
		return err
	}
	o.m.bound()
	return ctx.Err()
}

// supersede removes a node that is down and whose host has come back without its
// disk: under the same name and address, as another node.
func (o *office) supersede(ctx context.Context, m Member) error {
	if o.m.n.machine.member(m.ID) != nil {
		return nil
	}
	for _, row := range o.m.n.machine.members() {
		if row.Status == StatusDown && row.Name == m.Name && row.Address == m.Address && row.ID != o.m.n.ID() {
			o.m.n.log.Warn("a node came back without its disk, and takes its former self's place", "name", m.Name, "former", row.ID, "now", m.ID)
			if err := o.expel(ctx, row.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove ends a node's membership, once its lease has ended.
func (o *office) remove(ctx context.Context, id string) error {
	if err := o.lock(ctx); err != nil {
		return err
	}
	defer func() { <-o.gate }()
	return o.expel(ctx, id)
}

// expel does it. The caller has the right to change the membership.
func (o *office) expel(ctx context.Context, id string) error {
	row := o.m.n.machine.member(id)
	switch {
	case row == nil:
		return noNode(id)
	case id == o.m.n.ID():
		e := errdefs.New(errdefs.Conflict, "the leader can't remove itself")
		e.Hint = "`snakepit cluster leave` on it; or let another lead first, by `snakepit cluster transfer NODE`"
		return e
	}
	if err := o.spare(ctx, id); err != nil {
		return err
	}
	if err := o.outlast(ctx, id, row.Incarnation); err != nil {
		return err
	}
	if err := o.m.asks.await(ctx, func() error { return o.m.n.raft.RemoveServer(raft.ServerID(id), 0, raftTimeout).Error() }); err != nil {
		return notLeading(err)
	}
	out, err := o.m.n.proposer.propose(ctx, setNodeStatus(id, row.Incarnation, StatusLeft, o.term))
	if err == nil && out.err != nil && out.err.Reason != errdefs.NodeRemoved {
		err = out.err
	}
	o.settle()
	return err
}

// spare refuses to go on without a node where too few would be left. A new leader first
// waits until every node that is alive had time to say so.
func (o *office) spare(ctx context.Context, id string) error {
	for {
		err := mayRemove(o.seats(), id)
		if err == nil || o.m.clock.Now() >= o.m.n.timing.deadAt(o.since) {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// outlast refuses a node further leases, and waits until its last one has ended.
func (o *office) outlast(ctx context.Context, id string, incarnation uint64) error {
	for {
		o.mu.Lock()
		w, wait := o.watched[id], time.Duration(0)
		if w != nil && w.incarnation == incarnation {
			w.condemned = true
			wait = w.deadAt - o.m.clock.Now()
		}
		o.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		select {
		case <-time.After(min(wait, lookEvery)):
		case <-ctx.Done():
			return gaveUp(ctx, false)
		}
	}
}

// settle notes that the leader may be the only one again.
func (o *office) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alone = len(o.configured()) == 1; o.alone {
		o.m.unbound()
	}
	signal(o.kick)
}
