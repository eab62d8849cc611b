package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// existsWait is how long a node waits for one of its own id to be dead: its former
// start may have had a lease until now.
const existsWait = 3 * (leaseTTL + leaseGrace)

// silentWait is how long a start may go on before whoever reads the log is told what it
// waits for: it can be for an operator.
const silentWait = 10 * time.Second

// catchUp makes this node a member, or registers its new start, and waits until it
// has applied what the registry had by then.
func (m *mesh) catchUp(ctx context.Context) error {
	if err := m.n.checkAlone(); err != nil {
		return err
	}
	if m.n.sole() {
		m.n.callElection()
	}
	incarnation, err := m.register(ctx)
	if err != nil {
		return err
	}
	close(m.registered)
	if err := m.n.caughtUp(ctx, incarnation&(1<<generationShift-1)); err != nil {
		return err
	}
	return m.n.disk.noteGeneration(m.n.machine.generation())
}

// sole reports whether this node is the only member.
func (n *Node) sole() bool {
	servers := n.servers()
	return len(servers) == 1 && servers[0].ID == raft.ServerID(n.ID())
}

func (n *Node) servers() []raft.Server {
	future := n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

// checkAlone refuses to begin a second cluster where one was to be joined.
func (n *Node) checkAlone() error {
	if n.cfg.Join == nil || !n.sole() || n.disk.who().Member {
		return nil
	}
	e := errdefs.New(errdefs.WrongCluster, "the registry in %s is that of a cluster of its own, and can't join another", n.cfg.Dir)
	e.Hint = "start without joining, or move the directory away"
	return e
}

// register insists until some leader has taken this start for a member's.
func (m *mesh) register(ctx context.Context) (incarnation uint64, err error) {
	var since time.Time // that another has this id, without anything else between
	began, told := m.clock.Now(), false
	for {
		_, changed := m.sign.leader()
		incarnation, err := m.attempt(ctx)
		if err == nil {
			return incarnation, nil
		}
		if errdefs.ReasonOf(err) != errdefs.Exists {
			since = time.Time{}
		} else {
			since = firstTime(since)
		}
		if m.hopeless(err, since) {
			return 0, err
		}
		m.n.log.Debug("not registered yet", "error", err)
		if !told && m.clock.Now()-began > m.n.timing.of(silentWait) {
			told = true
			m.n.log.Error("this node isn't registered yet, and goes on trying: too few of the members that it knows answer; `snakepit cluster status` on another says more", "error", err)
		}
		select {
		case <-m.n.ending:
			return 0, m.n.ended()
		default:
		}
		if ctx.Err() != nil {
			return 0, gaveUp(ctx, false)
		}
		m.pause(ctx, lookEvery, changed)
	}
}

// hopeless reports whether asking again is in vain: for the same answer, or since
// somebody else has been alive for too long under this node's id.
func (m *mesh) hopeless(err error, since time.Time) bool {
	finals := []errdefs.Reason{errdefs.WrongCluster, errdefs.NodeRemoved, errdefs.VersionMismatch, errdefs.PermissionDenied, errdefs.InvalidArguments, errdefs.InvalidConfig}
	r := errdefs.ReasonOf(err)
	return slices.Contains(finals, r) || r == errdefs.Exists && time.Since(since) > m.n.timing.of(existsWait)
}

func firstTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}

func (m *mesh) attempt(ctx context.Context) (incarnation uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.n.timing.of(2*askWait))
	defer cancel()
	return m.registerOnce(ctx)
}

// registerOnce asks the leader, or, where none is known, everybody who may know one.
func (m *mesh) registerOnce(ctx context.Context) (incarnation uint64, err error) {
	request := &snakepitv1.JoinRequest{Node: memberToWire(m.self()), Cluster: m.n.disk.who().Cluster, Succeeds: m.n.last(m.nonce)}
	if m.n.cfg.Join != nil {
		request.Token = m.n.cfg.Join.Token
	}
	sent := m.clock.Now()
	response, err := m.requestJoin(ctx, request)
	if err != nil {
		return 0, err
	}
	as := start{Nonce: m.nonce, Machine: m.n.cfg.Machine, Process: m.n.cfg.Process}
	if err := m.n.disk.register(response.GetCluster(), !m.n.sole(), as); err != nil {
		m.n.fail(err)
		return 0, err
	}
	m.take(response.GetIncarnation(), sent, false)
	return response.GetIncarnation(), nil
}

// last is the start before this one, if its process is verifiably gone: it was on this
// machine, in this directory. One with a copy of the directory can't say that of a live one, and
// after the first start that follows none follows the same.
func (n *Node) last(now string) (nonce string) {
	before := n.disk.who().Start
	if before.Nonce == now || n.cfg.Gone == nil || !before.Machine.Same(n.cfg.Machine) || !n.cfg.Gone(before.Process) {
		return ""
	}
	return before.Nonce
}

func (m *mesh) requestJoin(ctx context.Context, request *snakepitv1.JoinRequest) (response *snakepitv1.JoinResponse, err error) {
	if o := m.office.Load(); o != nil {
		return o.admit(ctx, request)
	}
	join := func(ctx context.Context, c snakepitv1.NodeClient) error {
		response, err = c.Join(m.n.timing.said(ctx), request)
		return err
	}
	if leader, _ := m.sign.leader(); leader != "" {
		return response, m.atLeader(ctx, join)
	}
	if m.n.sole() {
		return nil, errdefs.New(errdefs.NotLeader, "this node doesn't lead yet")
	}
	addresses := m.book.everybody(m.configured())
	m.introduce(ctx, addresses)
	err = errdefs.New(errdefs.NotLeader, "nobody is known to lead")
	for _, address := range addresses {
		if err = m.peers.ask(ctx, peer{"", address}, join); err == nil || decided(err) {
			return response, err
		}
	}
	return nil, err
}

// decided reports whether another node would say the same.
func decided(err error) bool {
	passing := []errdefs.Reason{errdefs.HostUnreachable, errdefs.NotLeader, errdefs.Deadline, errdefs.NoQuorum, errdefs.OutcomeUnknown, errdefs.Cancelled}
	return !slices.Contains(passing, errdefs.ReasonOf(err))
}

// introduce tells all others where this node is, and learns where they are, so that
// Raft finds them where addresses have changed.
func (m *mesh) introduce(ctx context.Context, addresses []string) {
	ctx, cancel := context.WithTimeout(ctx, m.n.timing.of(askWait))
	defer cancel()
	own := &snakepitv1.IntroduceRequest{
		Self:    &snakepitv1.NodeAddress{Id: m.n.ID(), Address: m.n.cfg.Transport.address()},
		Cluster: m.n.disk.who().Cluster,
	}
	var asking sync.WaitGroup
	for _, address := range addresses {
		asking.Go(func() {
			_ = m.peers.ask(ctx, peer{"", address}, func(ctx context.Context, c snakepitv1.NodeClient) error {
				response, err := c.Introduce(ctx, own)
				for _, known := range response.GetKnown()[:min(1, len(response.GetKnown()))] {
					m.book.note(known.GetId(), known.GetAddress())
				}
				return err
			})
		})
	}
	asking.Wait()
}
