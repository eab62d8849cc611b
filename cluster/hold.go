package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Lease is the node's right to own sessions, as it is now. A host that is no node
// of several has one for ever.
func (n *Node) Lease() Lease {
	if n.mesh == nil {
		return Lease{Deadline: Forever}
	}
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	return n.mesh.lease
}

// standing is who this start is, or was last, and its lease: for those who look at it
// with each call.
type standing struct {
	self  Owner
	lease Lease
}

// hold keeps the lease of a start that is registered, until ctx ends.
func (m *mesh) hold(ctx context.Context) {
	select {
	case <-m.registered:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		_, changed := m.sign.leader()
		wait := m.n.timing.of(renewEvery)
		if err := m.keep(ctx); err != nil {
			if errdefs.ReasonOf(err) == errdefs.NodeRemoved {
				m.drop()
				m.n.fail(err)
				return
			}
			m.n.log.Debug("the lease wasn't renewed", "error", err)
			wait = lookEvery
		}
		m.pause(ctx, wait, changed)
	}
}

// keep renews the lease. Where it was given up for lost, this start is registered
// anew, and owns nothing of what it did.
func (m *mesh) keep(ctx context.Context) error {
	incarnation := m.incarnation()
	if incarnation == 0 {
		_, err := m.attempt(ctx)
		return err
	}
	if m.n.disk.patience.hangs() && m.n.Lease().Deadline != Forever {
		return errDiskHangs // it applies nothing: what it owns is better off elsewhere
	}
	ctx, cancel := context.WithTimeout(ctx, m.n.timing.of(askWait))
	defer cancel()
	sent := m.clock.Now()
	alone, err := m.renew(ctx, incarnation)
	if errdefs.ReasonOf(err) == errdefs.Fenced {
		m.drop()
		return err
	}
	if err == nil {
		m.take(incarnation, sent, alone)
	}
	return err
}

// renew asks whoever leads for an extension.
func (m *mesh) renew(ctx context.Context, incarnation uint64) (alone bool, err error) {
	request := &snakepitv1.RenewRequest{
		Id: m.n.ID(), Incarnation: incarnation, Nonce: m.nonce, Applied: m.n.machine.index(), Pools: m.room(), Draining: m.draining.Load(),
	}
	if after := m.n.cfg.RehomeAfter; after != 0 {
		request.RehomeAfter = durationpb.New(after)
	}
	response, err := m.renewWith(ctx, "", request)
	return response.GetAlone(), err
}

// renewWith asks a node; empty: whoever leads, this one included.
func (m *mesh) renewWith(ctx context.Context, id string, request *snakepitv1.RenewRequest) (response *snakepitv1.RenewResponse, err error) {
	if o := m.office.Load(); o != nil && id == "" {
		return o.renew(ctx, request)
	}
	ask := func(ctx context.Context, c snakepitv1.NodeClient) error {
		response, err = c.Renew(ctx, request)
		return err
	}
	if id == "" {
		err = m.atLeader(ctx, ask)
	} else {
		err = m.at(ctx, id, ask)
	}
	return response, err
}

// room says for how many more sessions the pools have room.
func (m *mesh) room() []*snakepitv1.PoolRoom {
	if m.n.cfg.Pools == nil {
		return nil
	}
	pools := m.n.cfg.Pools()
	all := make([]*snakepitv1.PoolRoom, 0, len(pools))
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		all = append(all, &snakepitv1.PoolRoom{Name: name, Room: pools[name]})
	}
	return all
}

func (m *mesh) incarnation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lease.Incarnation
}

// take begins or extends the lease. A shorter one than there is changes nothing.
func (m *mesh) take(incarnation uint64, sent time.Duration, alone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.n.timing.granted(incarnation, sent, alone && !m.bounded)
	if next.Incarnation < m.lease.Incarnation || next.Incarnation == m.lease.Incarnation && next.Deadline < m.lease.Deadline && m.lease.Deadline != Forever {
		return
	}
	m.tell(next)
}

// drop ends the lease, and gives what it was.
func (m *mesh) drop() Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.lease
	m.tell(Lease{})
	return last
}

// bound gives a lease without an end one.
func (m *mesh) bound() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bounded = true
	if m.lease.Deadline == Forever {
		m.tell(m.n.timing.granted(m.lease.Incarnation, m.clock.Now(), false))
	}
}

// unbound lets the next renewal be one without an end.
func (m *mesh) unbound() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bounded = false
}

// tell changes the lease and says so. It's called under the lock, so that what is
// told comes in order.
func (m *mesh) tell(next Lease) {
	if m.lease == next {
		return
	}
	if was := m.standing.Load(); next.Incarnation != 0 || was != nil {
		self := Owner{Node: m.n.ID(), Incarnation: next.Incarnation}
		if next.Incarnation == 0 {
			self = was.self
		}
		m.standing.Store(&standing{self, next})
	}
	m.lease = next
	if m.n.cfg.OnLease != nil {
		m.n.cfg.OnLease(next)
	}
}
