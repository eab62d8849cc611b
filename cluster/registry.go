package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// OpenSession implements host.Registry. The session is on disk when it returns, and
// this node owns it, unless it was there already. Among several nodes it fails with
// fenced while this one has no lease.
func (n *Node) OpenSession(ctx context.Context, s host.Session) (host.Session, error) {
	if err := validateSession(s); err != nil {
		return host.Session{}, err
	}
	if s.Availability == host.AvailabilityStrict {
		s.Availability = "" // the same, and known to older nodes
	}
	owner, err := n.mayOwn()
	if err != nil {
		return host.Session{}, err
	}
	o, err := n.propose(ctx, openOwned(s, owner, n.cfg.MaxSessions))
	if err != nil {
		return host.Session{}, err
	}
	return n.copied(o.session), nil
}

// Session implements host.Registry. It's read from memory.
func (n *Node) Session(ctx context.Context, id host.SessionID) (host.Session, error) {
	if err := n.check(ctx); err != nil {
		return host.Session{}, err
	}
	s, err := n.machine.session(id)
	if err != nil {
		return host.Session{}, err
	}
	return n.copied(s), nil
}

// BindSession implements host.Registry. The new home is on disk when it returns.
func (n *Node) BindSession(ctx context.Context, id host.SessionID, home host.WorkerID, from uint64) (host.Session, error) {
	if err := validateSession(host.Session{ID: id, Home: home}); err != nil {
		return host.Session{}, err
	}
	o, err := n.propose(ctx, bindSession(id, home, from))
	if err != nil {
		return host.Session{}, err
	}
	return n.copied(o.session), nil
}

// CloseSession implements host.Registry. Among several nodes, a session that has
// moved meanwhile hasn't expired: the error is conflict.
func (n *Node) CloseSession(ctx context.Context, id host.SessionID, expired bool) error {
	if err := validateSession(host.Session{ID: id}); err != nil {
		return err
	}
	from := uint64(0)
	if expired && n.mesh != nil {
		row, missing := n.machine.session(id)
		if missing != nil {
			return nil //nolint:nilerr // there's nothing to close
		}
		from = row.Epoch
	}
	_, err := n.propose(ctx, forgetFrom(id, expired, from))
	return err
}

// Sessions implements host.Registry. They are read from memory.
func (n *Node) Sessions(ctx context.Context) ([]host.Session, error) {
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	rows := n.machine.sessions()
	slices.SortFunc(rows, func(a, b *sessionRow) int { return strings.Compare(string(a.ID), string(b.ID)) })
	all := make([]host.Session, 0, len(rows))
	for _, s := range rows {
		all = append(all, n.copied(s))
	}
	return all, nil
}

// ClaimProcess implements host.ProcessRegistry. The record is on disk when it returns.
func (n *Node) ClaimProcess(ctx context.Context, p host.ProcessRecord) (host.ProcessRecord, error) {
	if err := p.Validate(); err != nil {
		return host.ProcessRecord{}, err
	}
	p.Owner, p.Unverified = n.claimant(), false
	o, err := n.propose(ctx, claimProcess(p))
	if err != nil {
		return host.ProcessRecord{}, err
	}
	return *o.process, nil
}

// claimant is what stands in the records of this node's processes.
func (n *Node) claimant() Owner {
	if level, _ := n.machine.level(); n.mesh == nil || level < 3 {
		return Owner{}
	}
	self, _ := n.Self()
	return self
}

// ReleaseProcess implements host.ProcessRegistry. Of another node's process only those
// on its machine can know: from elsewhere the error is conflict.
func (n *Node) ReleaseProcess(ctx context.Context, worker host.WorkerID) error {
	if err := names.CheckID("worker", string(worker)); err != nil {
		return err
	}
	if p := n.machine.process(worker); n.mesh != nil && p != nil && p.Owner.Node != "" && p.Owner.Node != n.ID() && !p.Machine.Same(n.cfg.Machine) {
		return errdefs.New(errdefs.Conflict, "worker %q is on another machine, and its process can't be known to be gone", names.Cut(string(worker)))
	}
	_, err := n.propose(ctx, releaseProcess(worker))
	return err
}

// Processes implements host.ProcessRegistry. They are read from memory.
func (n *Node) Processes(ctx context.Context) ([]host.ProcessRecord, error) {
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	all := n.machine.processes()
	sortByWorker(all)
	return all, nil
}

func sortByWorker(all []host.ProcessRecord) {
	slices.SortFunc(all, func(a, b host.ProcessRecord) int { return strings.Compare(string(a.Worker), string(b.Worker)) })
}

// propose has a command run. Its error is the caller's own: an outcome is shared
// with whatever else remembers it.
func (n *Node) propose(ctx context.Context, c *snakepitv1.RegistryCommand) (outcome, error) {
	if err := n.check(ctx); err != nil {
		return outcome{}, err
	}
	if err := n.allowed(c); err != nil {
		return outcome{}, err
	}
	o, err := n.proposer.propose(ctx, c)
	if err == nil && n.mesh != nil {
		err = n.caughtUp(ctx, o.index)
	}
	if err != nil {
		return outcome{}, err
	}
	if o.err != nil {
		own := *o.err
		return outcome{}, &own
	}
	return o, nil
}

// mayOwn says as whom this node may own a session.
func (n *Node) mayOwn() (Owner, error) {
	if n.mesh == nil {
		return Owner{}, nil
	}
	l := n.Lease()
	if !l.Valid(n.cfg.Clock.Now()) {
		e := errdefs.New(errdefs.Fenced, "this node has no lease, and so owns no sessions")
		e.Hint = "it gets one once it reaches a leader"
		return Owner{}, e
	}
	return Owner{Node: n.ID(), Incarnation: l.Incarnation}, nil
}

func validateSession(s host.Session) error {
	if err := names.CheckID("session", string(s.ID)); err != nil {
		return err
	}
	for _, name := range []string{s.Pool, string(s.Home)} {
		if len(name) > names.MaxID || !utf8.ValidString(name) {
			return errdefs.New(errdefs.InvalidArguments, "session %q has a name of %d bytes, which isn't at most %d bytes of UTF-8",
				names.Cut(string(s.ID)), len(name), names.MaxID)
		}
	}
	if err := names.CheckMetadata(s.Metadata); err != nil {
		return err
	}
	if err := s.Affinity.Validate(); err != nil {
		return err
	}
	return s.Availability.Validate()
}

// copied is the caller's own. A host that is no node of several owns all there is,
// whoever did when it was one.
func (n *Node) copied(s *sessionRow) host.Session {
	c := s.Session
	c.Metadata = maps.Clone(c.Metadata)
	if n.mesh == nil {
		c.Owner = Owner{}
	}
	return c
}
