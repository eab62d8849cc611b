package link

import (
	"context"
	"slices"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// passOn has another member answer: one that has the authority's key.
func (e *Enrolment) passOn(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	last, asked := noAuthority(), 0
	for id := range e.cfg.Members.Addresses() {
		if id == e.cfg.Node || asked == mostPassed || ctx.Err() != nil {
			continue
		}
		asked++
		response, err := e.ask(ctx, id, r)
		if err == nil || decided(err) {
			return response, err
		}
		e.log.Debug("another member couldn't sign", "node", id, "error", err)
		if r := errdefs.ReasonOf(err); r == errdefs.InvalidConfig || r == errdefs.NoQuorum {
			last = err
		}
	}
	return nil, last
}

// decided reports whether another member would say the same.
func decided(err error) bool {
	return slices.Contains([]errdefs.Reason{
		errdefs.Unauthenticated, errdefs.PermissionDenied, errdefs.Exists, errdefs.InvalidArguments, errdefs.NodeRemoved, errdefs.WrongCluster,
	}, errdefs.ReasonOf(err))
}

func (e *Enrolment) ask(ctx context.Context, id string, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, passWait)
	defer cancel()
	conn, err := e.cfg.Members.Dial(ctx, id)
	if err != nil {
		return nil, err
	}
	response, err := snakepitv1.NewEnrolClient(conn).Enrol(ctx, r)
	if err != nil {
		return nil, errdefs.FromStatus(err)
	}
	return response, nil
}

// noAuthority is for a cluster that can't sign.
func noAuthority() error {
	e := errdefs.New(errdefs.InvalidConfig, "no member that can be reached has the authority's key, ca-key.pem in its tls_dir")
	e.Hint = "start the host where `snakepit cluster init-tls` ran; where somebody else signs, put the newcomer's node.pem, node-key.pem and ca.pem into its tls_dir"
	return e
}

// members answers other members.
type members struct {
	snakepitv1.UnimplementedEnrolServer

	e *Enrolment
}

// Enrol implements [snakepitv1.EnrolServer]. Nothing is passed on a second time.
func (m members) Enrol(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolWait)
	defer cancel()
	response, err := m.answer(ctx, r)
	return response, errdefs.ToStatus(err)
}

func (m members) answer(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	if !m.e.signs() {
		return nil, errdefs.New(errdefs.NotLeader, "this member hasn't the authority's key")
	}
	if r.GetToken() != "" {
		t, err := m.e.check(r)
		if err != nil {
			return nil, err
		}
		return m.e.spend(ctx, r, t)
	}
	if who := Caller(ctx); who.Kind != Node || who.Name == "" || who.Name != r.GetNode() {
		return nil, errdefs.New(errdefs.PermissionDenied, "%s %q asks for the certificate of node %q", who.Kind, names.Cut(who.Name), names.Cut(r.GetNode()))
	}
	return m.e.again(r)
}

// passing reports whether asking again, or another, may help.
func passing(err error) bool {
	return slices.Contains([]errdefs.Reason{
		errdefs.HostUnreachable, errdefs.Deadline, errdefs.NoQuorum, errdefs.NotLeader, errdefs.OutcomeUnknown, errdefs.RateLimited, errdefs.Draining,
	}, errdefs.ReasonOf(err))
}
