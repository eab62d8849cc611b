package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func (p *program) clusterRebalanceCommand() *cobra.Command {
	o := rebalanceOptions{timeout: moveTimeout}
	cmd := p.command(&cobra.Command{
		Use:   "rebalance [--pool P] [--dry-run] [--timeout D]",
		Short: "Even out sessions over the nodes that are up",
		Long: `Move sessions, with their state and what their adapter saves (on_session_save), until in each pool no node has more than one above another: no
more than that takes, 16 at a time. Any node can be asked. Nodes take part that are up, not draining, and have the pool. A node that came back has
no sessions: that's when this is of use.

Calls that run end first, those that come meanwhile wait and go on at the new node: none fails. A session whose running calls take longer than
--timeout stays where it is, as does one that can't be moved for another reason; that stops no other one, and the exit code is 1 then. Sessions that were opened with
availability local never leave their node, but count. After Ctrl-C no further one is begun.

It prints how many have moved and stayed, and why. With -o json: an object with pool (empty: all), dry_run, planned, moved, stayed and ended (numbers), moves (a list of
objects with session, pool, from, to, state, which is moved, would_move, stayed or ended, and then reason and message), kept (what a node has above its share
and keeps: objects with pool, node, sessions and why) and left_out (nodes that take no part: objects with node and why).`,
		Example: `  snakepit cluster rebalance --dry-run
  snakepit cluster rebalance
  snakepit cluster rebalance --pool ml --timeout 2m`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error { return p.rebalance(ctx, h, o) })
	})
	cmd.Flags().StringVar(&o.pool, "pool", "", "only the sessions of pool `P`")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "move nothing, and print what would be moved")
	cmd.Flags().Var(&seconds{&o.timeout}, "timeout", "wait at most `D` for a session's running calls to end (default 30s)")
	complete(cmd, "pool", p.completePool)
	complete(cmd, "timeout", cobra.NoFileCompletions)
	return cmd
}

type rebalanceOptions struct {
	pool    string
	dryRun  bool
	timeout time.Duration
}

// rebalanced is what came of it, as `cluster rebalance` shows it.
type rebalanced struct {
	Pool    string         `json:"pool"`
	DryRun  bool           `json:"dry_run"`
	Planned int            `json:"planned"`
	Moved   int            `json:"moved"`
	Stayed  int            `json:"stayed"`
	Ended   int            `json:"ended"`
	Moves   []shiftedOne   `json:"moves"`
	Kept    []keptSessions `json:"kept"`
	LeftOut []nodeLeftOut  `json:"left_out"`

	cluster *members.Cluster
	planned bool // it's known what is to be done
}

type shiftedOne struct {
	Session string `json:"session"`
	Pool    string `json:"pool"`
	From    string `json:"from"`
	To      string `json:"to"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

type keptSessions struct {
	Pool     string `json:"pool"`
	Node     string `json:"node"`
	Sessions int    `json:"sessions"`
	Why      string `json:"why"`
}

type nodeLeftOut struct {
	Node string `json:"node"`
	Why  string `json:"why"`
}

func (p *program) rebalance(ctx context.Context, h clusterHost, o rebalanceOptions) error {
	c, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	r := &rebalanced{Pool: o.pool, DryRun: o.dryRun, Moves: []shiftedOne{}, Kept: []keptSessions{}, LeftOut: []nodeLeftOut{}, cluster: &c}
	view := newProgressView(p.stderr)
	if p.json() || o.dryRun {
		view = newProgressView(io.Discard)
	}
	request := &snakepitv1.ClusterRebalanceRequest{Pool: o.pool, DryRun: o.dryRun, WaitUs: uint64(o.timeout.Microseconds())} //nolint:gosec // it's above 0
	err = h.Rebalance(ctx, request, func(w *snakepitv1.ClusterRebalanceResponse) {
		r.take(w)
		if w.GetShift() != nil {
			view.show(snakepit.Progress{Done: float64(len(r.Moves)), Total: float64(r.Planned), Message: "moving sessions"})
		}
	})
	view.end()
	r.sum()
	if err != nil {
		err = asCancelled(ctx, unmoved(err, &c))
	}
	if r.planned {
		if failed := p.printRebalanced(r); failed != nil {
			return failed
		}
	}
	if err == nil {
		err = r.failure()
	}
	return err
}

// take has what a host says.
func (r *rebalanced) take(w *snakepitv1.ClusterRebalanceResponse) {
	if plan := w.GetPlan(); plan != nil {
		r.planned, r.Planned = true, int(plan.GetMoves()) //nolint:gosec // no host has so many
		for _, k := range plan.GetKept() {
			why := "never leave"
			if k.GetNoRoom() {
				why = "no room"
			}
			r.Kept = append(r.Kept, keptSessions{k.GetPool(), nodeName(r.cluster, k.GetNode()), int(k.GetSessions()), why}) //nolint:gosec // as above
		}
		for _, n := range plan.GetLeftOut() {
			r.LeftOut = append(r.LeftOut, nodeLeftOut{nodeName(r.cluster, n.GetNode()), n.GetWhy()})
		}
	}
	if s := w.GetShift(); s != nil {
		r.Moves = append(r.Moves, r.shifted(s))
	}
}

func (r *rebalanced) shifted(s *snakepitv1.ClusterShift) shiftedOne {
	one := shiftedOne{Session: s.GetSession(), Pool: s.GetPool(), From: nodeName(r.cluster, s.GetFrom()), To: nodeName(r.cluster, s.GetTo()), State: "moved"}
	if r.DryRun {
		one.State = "would_move"
	}
	if s.GetError() == nil {
		return one
	}
	e := errdefs.Of(unmoved(errdefs.FromProto(s.GetError()), r.cluster))
	one.State, one.Reason, one.Message = "stayed", string(e.Reason), e.Message
	if e.Reason == errdefs.SessionNotFound || e.Reason == errdefs.SessionExpired {
		one.State = "ended"
	}
	return one
}

// sum counts. What was planned and isn't told of wasn't begun, or not waited for.
func (r *rebalanced) sum() {
	for _, m := range r.Moves {
		switch m.State {
		case "moved":
			r.Moved++
		case "ended":
			r.Ended++
		case "stayed":
			r.Stayed++
		}
	}
	r.Stayed += r.untold()
	for _, k := range r.Kept {
		r.Stayed += k.Sessions
	}
}

func (r *rebalanced) untold() int { return max(r.Planned-len(r.Moves), 0) }

// failure is for the exit code: the summary has said why.
func (r *rebalanced) failure() error {
	failed := kept(r.Moves, func(m shiftedOne) bool { return m.State == "stayed" })
	if len(failed) == 0 {
		return nil
	}
	e := errdefs.New(errdefs.Reason(failed[0].Reason), "%d of %d sessions weren't moved", len(failed), r.Planned)
	e.Hint = "they go on where they are; the same command tries again"
	return e
}

func (p *program) printRebalanced(r *rebalanced) error {
	if p.json() {
		return printJSON(p.stdout, r)
	}
	for _, n := range r.LeftOut {
		if _, err := fmt.Fprintf(p.stderr, "%s takes no part: it %s\n", cell(n.Node), cell(n.Why)); err != nil {
			return err
		}
	}
	if r.DryRun && len(r.Moves) > 0 {
		rows := [][]string{{"SESSION", "POOL", "FROM", "TO"}}
		for _, m := range r.Moves {
			rows = append(rows, []string{m.Session, m.Pool, m.From, m.To})
		}
		if err := table(p.stdout, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(p.stdout, r.summary())
	return err
}

// summary is "12 sessions moved, 3 stayed: 2 never leave n1; 1 deadline (session a: …)".
func (r *rebalanced) summary() string {
	did, moved, stayed := "moved", r.Moved, "stayed"
	if r.DryRun {
		did, moved, stayed = "would move", len(r.Moves), "would stay"
	}
	text := fmt.Sprintf("%d sessions %s", moved, did)
	if moved == 1 {
		text = "1 session " + did
	}
	switch {
	case r.Stayed > 0:
		text += fmt.Sprintf(", %d %s: %s", r.Stayed, stayed, strings.Join(r.reasons(), "; "))
	case moved+r.Ended == 0:
		text += ": they are even already"
	}
	if r.Ended > 0 {
		text += fmt.Sprintf("; %d ended meanwhile", r.Ended)
	}
	return text
}

// reasons say why sessions stayed, those of one kind together.
func (r *rebalanced) reasons() (all []string) {
	for _, k := range r.Kept {
		if k.Why == "no room" {
			all = append(all, fmt.Sprintf("no other node has room for %d of %s in pool %s", k.Sessions, cell(k.Node), cell(k.Pool)))
		} else {
			all = append(all, fmt.Sprintf("%d never leave %s in pool %s", k.Sessions, cell(k.Node), cell(k.Pool)))
		}
	}
	by := map[string][]shiftedOne{}
	for _, m := range r.Moves {
		if m.State == "stayed" {
			by[m.Reason] = append(by[m.Reason], m)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		first := by[reason][0]
		all = append(all, fmt.Sprintf("%d %s (session %s on %s: %s)", len(by[reason]), cell(reason), cell(first.Session), cell(first.From), cell(first.Message)))
	}
	if n := r.untold(); n > 0 {
		all = append(all, fmt.Sprintf("%d weren't begun, or not waited for", n))
	}
	return all
}
