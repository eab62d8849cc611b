package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// mostTargets bounds how many nodes a client learns of.
	mostTargets = 64
	// retryFirst and retryMost bound the wait between two rounds of all nodes.
	retryFirst = 20 * time.Millisecond
	retryMost  = 500 * time.Millisecond
	// patience is how long a call without a deadline looks for a node that takes it.
	patience = 30 * time.Second
)

// fleet is several nodes of a cluster, any of which may be down, as one connection.
// A session's calls go to the node that owns it, as soon as that is known; others,
// in turn, to those that answer. What provably never ran is tried again elsewhere,
// until its deadline.
type fleet struct {
	dial   func(address string, several bool) (*grpc.ClientConn, error)
	owners owners

	mu      sync.Mutex // guards all below
	targets []*target
	turn    int
	closed  bool
}

var _ connection = (*fleet)(nil)

func newFleet(addresses []string, dial func(string, bool) (*grpc.ClientConn, error)) (*fleet, error) {
	f := &fleet{dial: dial}
	for _, a := range addresses {
		if _, err := f.add(a); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// add finds the target at an address, or makes one.
func (f *fleet) add(address string) (*target, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.targets {
		if t.address == address {
			return t, nil
		}
	}
	if f.closed || len(f.targets) == mostTargets {
		return nil, errdefs.New(errdefs.RateLimited, "a client talks to at most %d nodes", mostTargets)
	}
	conn, err := f.dial(address, true)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.HostUnreachable, err, "dial %s", address)
	}
	t := newTarget(address, conn, func() (*grpc.ClientConn, error) { return f.dial(address, true) })
	f.targets = append(f.targets, t)
	return t, nil
}

// Close implements io.Closer.
func (f *fleet) Close() error {
	f.mu.Lock()
	all := f.targets
	f.closed = true
	f.mu.Unlock()
	var errs []error
	for _, t := range all {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

// list gives the nodes to try, the best first: those that answer, in turn where that
// makes no difference, then those that didn't lately, the longest ago first.
func (f *fleet) list(inTurn bool) []*target {
	f.mu.Lock()
	all := slices.Clone(f.targets)
	if inTurn {
		f.turn++
		n := f.turn % len(all)
		all = append(all[n:], all[:n]...)
	}
	f.mu.Unlock()
	now := time.Now()
	slices.SortStableFunc(all, func(a, b *target) int { return a.until(now).Compare(b.until(now)) })
	return all
}

// forSession is list, with the session's owner first.
func (f *fleet) forSession(session string) []*target {
	all := f.list(true)
	if owner := f.owners.of(session); owner != nil && owner.answers(time.Now()) {
		all = slices.DeleteFunc(all, func(t *target) bool { return t == owner })
		all = append([]*target{owner}, all...)
	}
	return all
}

// Invoke implements grpc.ClientConnInterface.
func (f *fleet) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	call, _ := args.(*snakepitv1.HostCallRequest)
	session, idempotent := call.GetInvocation().GetSession(), call.GetInvocation().GetIdempotent()
	return f.try(ctx, session, idempotent || repeatable(method), func(t *target) error {
		var header metadata.MD
		leave, conn := t.enter(), t.current()
		err := conn.Invoke(ctx, method, args, reply, append(slices.Clip(opts), grpc.Header(&header))...)
		leave()
		err = t.given(ctx, conn, err)
		f.heard(t, session, header, err)
		return err
	})
}

// NewStream implements grpc.ClientConnInterface: it begins one on the first node that
// lets it. What is sent over it is its caller's to send again.
func (f *fleet) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (s grpc.ClientStream, err error) {
	session := sessionOf(ctx)
	err = f.try(ctx, session, false, func(t *target) error {
		s, err = f.streamTo(ctx, t, session, desc, method, opts)
		return err
	})
	return s, err
}

// streamTo begins a stream on one node.
func (f *fleet) streamTo(ctx context.Context, t *target, session string, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	leave, conn := t.enter(), t.current()
	s, err := conn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		leave()
		err = t.given(ctx, conn, err)
		f.heard(t, session, nil, err)
		return nil, err
	}
	context.AfterFunc(s.Context(), leave) //nolint:contextcheck // the stream's ends when it does
	return &fleetStream{ClientStream: s, fleet: f, target: t, ctx: ctx, conn: conn, session: session}, nil
}

// try asks one node after the other, until one has taken the call, or none will.
func (f *fleet) try(ctx context.Context, session string, again bool, ask func(*target) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := f.round(ctx, session, again, ask)
		if err == nil || !passing(err, again) || errdefs.ReasonOf(err) == errdefs.NoQuorum {
			return err
		}
		if !pause(ctx, wait) {
			return inVain(ctx, err)
		}
	}
}

// round asks each node once, at most.
func (f *fleet) round(ctx context.Context, session string, again bool, ask func(*target) error) (err error) {
	for _, t := range f.forSession(session) {
		if err = ask(t); err == nil || !passing(err, again) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// passing reports whether another node, or the same one later, may say something
// else, and nothing ran that mustn't run again.
func passing(err error, again bool) bool {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest say what everybody would
	case errdefs.HostUnreachable, errdefs.Draining, errdefs.SessionMoved, errdefs.Fenced, errdefs.NodeRemoved, errdefs.NotLeader, errdefs.NoQuorum:
		return again || !errdefs.MayHaveRun(err)
	}
	return false
}

// repeatable reports whether a request may be made twice.
func repeatable(method string) bool {
	switch method {
	case snakepitv1.Host_Status_FullMethodName, snakepitv1.Host_ListTools_FullMethodName, snakepitv1.Host_ListWorkers_FullMethodName,
		snakepitv1.Host_ListSessions_FullMethodName, snakepitv1.Host_CloseSession_FullMethodName, snakepitv1.Cluster_Status_FullMethodName:
		return true
	}
	return false
}

// inVain is the error of a call that no node took while its time lasted.
func inVain(ctx context.Context, last error) error {
	e := *errdefs.Of(last)
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		e = *errdefs.Wrap(errdefs.Cancelled, last, "no node took the call meanwhile")
	} else if cause != nil {
		e = *errdefs.Wrap(errdefs.Deadline, last, "no node took the call in time")
	}
	e.MayHaveRun = errdefs.MayHaveRun(last)
	return &e
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// heard takes note of how a node has answered, and of where a session is.
func (f *fleet) heard(t *target, session string, header metadata.MD, err error) {
	switch errdefs.ReasonOf(err) { //nolint:exhaustive // the rest are answers
	case errdefs.HostUnreachable, errdefs.Draining, errdefs.NoQuorum, errdefs.Fenced, errdefs.NodeRemoved:
		t.fail() // it serves nobody for now
		f.owners.forget(session, t)
	default:
		t.hear()
	}
	switch owner := header.Get(ownerHeader); {
	case session == "":
	case len(owner) > 0:
		if to, err := f.add(owner[0]); err == nil {
			f.owners.note(session, to)
		}
	case err == nil:
		f.owners.note(session, t)
	}
}

// ownerHeader names the node to which a session's calls go directly.
const ownerHeader = "snakepit-owner"

// split takes a list of addresses apart.
func split(target string) (all []string) {
	for a := range strings.SplitSeq(target, ",") {
		if a = strings.TrimSpace(a); a != "" && !slices.Contains(all, address(a)) {
			all = append(all, address(a))
		}
	}
	return all
}
