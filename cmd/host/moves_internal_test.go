package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// fakeMoves is the part of fakeHost that moves sessions.
type fakeMoves struct {
	had   string // who has the session that is to move
	steps []*snakepitv1.ClusterRebalanceResponse
	after func() // called once the steps are told
}

func (h *fakeHost) MoveSession(ctx context.Context, session, node string) (string, error) {
	until, bounded := ctx.Deadline()
	h.asked = append(h.asked, fmt.Sprint("move ", session, " ", node, " ", bounded && time.Until(until) <= 30*time.Second))
	return h.moves.had, h.err
}

func (h *fakeHost) Rebalance(ctx context.Context, r *snakepitv1.ClusterRebalanceRequest, step func(*snakepitv1.ClusterRebalanceResponse)) error {
	h.asked = append(h.asked, fmt.Sprint("rebalance ", r.GetPool(), " ", r.GetDryRun(), " ", r.GetWaitUs()))
	for _, s := range h.moves.steps {
		step(s)
	}
	if h.moves.after != nil {
		h.moves.after()
	}
	return errors.Join(h.err, ctx.Err())
}

func planStep(b *snakepitv1.ClusterBalance) *snakepitv1.ClusterRebalanceResponse {
	return &snakepitv1.ClusterRebalanceResponse{Kind: &snakepitv1.ClusterRebalanceResponse_Plan{Plan: b}}
}

func shiftStep(session string, err error) *snakepitv1.ClusterRebalanceResponse {
	s := &snakepitv1.ClusterShift{Session: session, Pool: "ml", From: "id-a", To: "id-b"}
	if err != nil {
		s.Error = errdefs.ToProto(err)
	}
	return &snakepitv1.ClusterRebalanceResponse{Kind: &snakepitv1.ClusterRebalanceResponse_Shift{Shift: s}}
}

// evenedOut is a host that has something of everything to tell.
func evenedOut() *fakeHost {
	h := clusterHostFake()
	h.moves.steps = []*snakepitv1.ClusterRebalanceResponse{
		planStep(&snakepitv1.ClusterBalance{
			Moves: 5, LeftOut: []*snakepitv1.ClusterLeftOut{{Node: "id-c", Why: "is down"}},
			Kept: []*snakepitv1.ClusterKept{{Pool: "ml", Node: "id-a", Sessions: 4}, {Pool: "main", Node: "id-b", Sessions: 2, NoRoom: true}},
		}),
		shiftStep("a", nil), shiftStep("b", errdefs.New(errdefs.Deadline, "the caller's deadline passed while it waited for the session's calls")),
		shiftStep("c", nil), shiftStep("d", errdefs.New(errdefs.SessionNotFound, "no session")), shiftStep("e", errdefs.New(errdefs.HostUnreachable, "node %q", "id-b")),
	}
	return h
}

func dryRun() *fakeHost {
	h := clusterHostFake()
	h.moves.steps = []*snakepitv1.ClusterRebalanceResponse{planStep(&snakepitv1.ClusterBalance{Moves: 2}), shiftStep("a", nil), shiftStep("b", nil)}
	return h
}

func TestCommandsThatMoveSessionsPrintAsRecorded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	say := func(h *fakeHost, words ...string) {
		o := runOn(t, h, words...)
		fmt.Fprintf(&b, "$ snakepit %s\n%s%s", strings.Join(words, " "), o.stdout, o.stderr)
		if o.code != 0 {
			fmt.Fprintf(&b, "exit %d\n", o.code)
		}
		b.WriteString("\n")
	}
	had := func(node string, err error) *fakeHost {
		h := clusterHostFake()
		h.moves.had, h.err = node, err
		return h
	}
	say(had("id-a", nil), "sessions", "move", "s", "n2")
	say(had("id-a", nil), "sessions", "move", "s", "id-b", "-o", "json")
	say(had("id-b", nil), "sessions", "move", "s", "n2")
	say(had("id-b", nil), "sessions", "move", "s", "n2", "-o", "json")
	say(had("", nil), "sessions", "move", "s", "n9")
	for _, err := range unmovedErrors() {
		say(had("", err), "sessions", "move", "s", "n2")
	}
	say(evenedOut(), "cluster", "rebalance", "-o", "json")
	say(dryRun(), "cluster", "rebalance", "--dry-run")
	say(dryRun(), "cluster", "rebalance", "--dry-run", "-o", "json")
	even := clusterHostFake()
	even.moves.steps = []*snakepitv1.ClusterRebalanceResponse{planStep(&snakepitv1.ClusterBalance{})}
	say(even, "cluster", "rebalance")
	say(had("", unmovedErrors()[0]), "cluster", "rebalance")
	golden(t, filepath.Join("testdata", "moves.txt"), b.String())
}

// unmovedErrors are what operators meet.
func unmovedErrors() []error {
	return []error{
		errdefs.New(errdefs.Unimplemented, "unknown method MoveSession for service snakepit.v1.Cluster"),
		errdefs.New(errdefs.Unimplemented, "node id-a is older than this one"),
		errdefs.New(errdefs.Conflict, "node %q is draining: it gets no sessions", "id-b"),
		errdefs.New(errdefs.Deadline, "the caller's deadline passed while it waited for the session's calls"),
		errdefs.New(errdefs.HostUnreachable, "node %s", "id-a").At(errdefs.Where{Node: "id-a"}),
		errdefs.New(errdefs.NoQuorum, "no majority of the voters answers"),
	}
}

func TestRebalanceTellsWhatCameOfItOnceItIsOver(t *testing.T) {
	t.Parallel()
	h := evenedOut()
	o := runOn(t, h, "cluster", "rebalance", "--pool", "ml", "--timeout", "2m")
	want := "2 sessions moved, 8 stayed: 4 never leave n1 in pool ml; no other node has room for 2 of n2 in pool main; " +
		"1 deadline (session b on n1: the caller's deadline passed while it waited for the session's calls); 1 host_unreachable (session e on n1: node n2 (id-b)); 1 ended meanwhile\n"
	if o.code != 1 || o.stdout != want {
		t.Errorf("%d %s", o.code, o.stdout)
	}
	for _, line := range []string{" 20% 1/5 moving sessions\n", "100% 5/5 moving sessions\n", "id-c takes no part: it is down\n", "2 of 5 sessions weren't moved\n"} {
		if !strings.Contains(o.stderr, line) {
			t.Errorf("no %q in %s", line, o.stderr)
		}
	}
	if want := []string{"rebalance ml false 120000000"}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q", h.asked)
	}
}

func TestRebalanceThatIsCutShortSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	h := evenedOut()
	h.moves.steps = h.moves.steps[:2]
	h.moves.steps[0].GetPlan().Kept = nil
	ctx, cancel := context.WithCancel(t.Context())
	h.moves.after = cancel
	o := runWith(ctx, t, h, nil, "--host", "/fake.sock", "cluster", "rebalance")
	if o.code != 1 || o.stdout != "1 session moved, 4 stayed: 4 weren't begun, or not waited for\n" || !strings.Contains(o.stderr, "cancelled") {
		t.Errorf("%d %s%s", o.code, o.stdout, o.stderr)
	}
}

func TestMoveCompletesSessionsThenNodesThatMayGetThem(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	h.sessions = []sessionStatus{{ID: "user-1", Pool: "ml"}, {ID: "user-2"}, {ID: "x"}}
	for words, want := range map[string][]string{"user": {"user-1", "user-2"}, "user-1 ": {"n1"}, "user-1 n1 ": nil} {
		o := runWith(t.Context(), t, h, nil, append([]string{"__complete", "--host", "/fake.sock", "sessions", "move"}, strings.Split(words, " ")...)...)
		var got []string
		for line := range strings.Lines(o.stdout) {
			if name, _, ok := strings.Cut(line, "\t"); ok {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
}

func TestMoveIsBoundedByItsTimeout(t *testing.T) {
	t.Parallel()
	h := clusterHostFake()
	runOn(t, h, "sessions", "move", "s", "n2")
	runOn(t, h, "sessions", "move", "s", "n1", "--timeout", "1m")
	if want := []string{"move s id-b true", "move s id-a false"}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q", h.asked)
	}
	if o := runOn(t, h, "sessions", "move", "s"); o.code != 2 {
		t.Errorf("no node: %d", o.code)
	}
}
