package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/members"
)

const (
	watchEvery    = time.Second
	watchPatience = 5 * time.Second // with a host that doesn't answer
)

func (p *program) clusterStatusCommand() *cobra.Command {
	var watch bool
	cmd := p.command(&cobra.Command{
		Use:   "status [--watch]",
		Short: "Tell how the cluster is, what is wrong, and what to do",
		Long: `Tell how the cluster is, as the node sees it that is asked: it asks the others, and waits a second at most. The
first line says whether it works, and how many more nodes it may lose. What is wrong comes last, each with what to do.

STATUS is up, draining (gets no new sessions), pausing (is being started anew, and keeps its sessions), down (its lease has
ended, and others have its sessions) or left.
"no answer": it didn't answer the node that was asked. ROLE is leader, voter or member (it doesn't vote).
LEASE says how long ago the leader renewed a node's right to serve sessions; it lasts a second. BEHIND
is how many entries of the registry's log a node has yet to apply.

The exit code is 0 whenever the node answers, whatever it says; scripts look at state.

With --watch: again every second, until Ctrl-C, after a line that says when.

With -o json: an object with state (ok, degraded: it works, and warnings say what's wrong; no_leader; no_quorum), summary, advice (what to do where it
doesn't work), cluster,
node (who tells), leader (ids; empty: none), term, last, commit, applied (indexes of the log; the entry last applied here), level
(version of the registry's rules), generation (of epochs: what restore asks for as --past), tokens (that are still good), lease, an
object with held, endless and left (seconds), warnings, a list of objects with kind, node (an id; empty: the whole cluster), text
and hint, and nodes, a list of objects with

  id, name, address, api_address, machine   who and where; api_address is empty where only its machine reaches it
  status, member, voter, leader             as above; who has left is no member
  answers, lease_held                       it answered the node that tells, and has its lease
  incarnation, sessions                     grows with each registration; how many sessions it owns
  applied, behind                           as above; 0: unknown
  lease_age                                 seconds since it was renewed; null: unknown
  version, rules                            of its program, and of the newest rules that it knows
  unverified                                processes of its workers that nobody has seen end
  disk                                      an object with free_bytes, size_bytes, and write_time (seconds)

With --watch one object a line.`,
		Example: `  snakepit cluster status
  snakepit cluster status --host 10.0.0.2:7070
  snakepit cluster status --watch`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error {
			if watch {
				return p.watchCluster(ctx, h)
			}
			return p.clusterStatus(ctx, h)
		})
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "look again every second, until Ctrl-C")
	return cmd
}

func (p *program) clusterStatus(ctx context.Context, h clusterView) error {
	c, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, clusterOf(c))
	}
	return printCluster(p.stdout, c)
}

// watchCluster shows the cluster again and again. A node that doesn't answer for a
// moment is part of what there is to see.
func (p *program) watchCluster(ctx context.Context, h clusterView) error {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		if err := p.lookAtCluster(ctx, h); err != nil {
			return quietly(ctx, err)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil // that's how one leaves
		}
	}
}

func (p *program) lookAtCluster(ctx context.Context, h clusterView) error {
	patient, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	c, err := h.Cluster(patient)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.json() && err != nil:
		return err
	case p.json():
		return printJSONLine(p.stdout, clusterOf(c))
	}
	var b strings.Builder
	if isTerminal(p.stdout) {
		b.WriteString("\x1b[H\x1b[2J")
	}
	b.WriteString(time.Now().Format(time.TimeOnly) + "\n")
	if err != nil {
		b.WriteString(describe(local(err), newPaint(p.stdout)))
	} else if err := printCluster(&b, c); err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, b.String()+"\n")
	return err
}

// printCluster says how it is, then who there is, then what is wrong.
func printCluster(w io.Writer, c members.Cluster) error {
	text := cell(c.Summary) + "\n"
	if c.Advice != "" {
		text += "Do: " + cell(c.Advice) + "\n"
	}
	if _, err := io.WriteString(w, text+"\n"); err != nil {
		return err
	}
	rows := [][]string{{"NODE", "STATUS", "ROLE", "LEASE", "SESSIONS", "BEHIND", "ADDRESS", "API", "VERSION", "ID"}}
	for _, n := range c.Nodes {
		rows = append(rows, nodeRow(c, n))
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if err := printWarnings(w, c.Warnings); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nseen by %s: term %d, log %d/%d/%d (last, committed, applied), rules %d, generation %d%s\n",
		cell(labelOf(c, c.Self)), c.Term, c.Last, c.Commit, c.Applied, c.Level, c.Generation, tokensText(c.Tokens))
	return err
}

func printWarnings(w io.Writer, all []members.Warning) error {
	for _, x := range all {
		if _, err := fmt.Fprintf(w, "\n! %s\n  do: %s\n", cell(x.Text), cell(x.Hint)); err != nil {
			return err
		}
	}
	return nil
}

func tokensText(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + count(n, "token", "s") + " to join with"
}

func nodeRow(c members.Cluster, n members.Node) []string {
	behind := ""
	if n.Applied > 0 {
		behind = strconv.FormatUint(c.Lag(n), 10)
	}
	return []string{
		n.Label(), statusText(n), roleText(n), leaseText(c, n), strconv.FormatUint(n.Sessions, 10), behind, n.Address, n.API, n.Version, n.ID,
	}
}

func statusText(n members.Node) string {
	if n.Member && !n.Answers {
		return n.Status + ", no answer"
	}
	return n.Status
}

func roleText(n members.Node) string {
	switch {
	case n.Leader:
		return "leader"
	case n.Voter:
		return "voter"
	case n.Member:
		return "member"
	}
	return ""
}

// leaseText is how long ago it was renewed, or what there is instead.
func leaseText(c members.Cluster, n members.Node) string {
	switch {
	case !n.Member || !n.Answers:
		return ""
	case n.ID == c.Self && c.Lease.Endless:
		return "for ever"
	case !n.LeaseHeld:
		return "none"
	case n.Renewed == nil:
		return "held"
	}
	return spanText(n.Renewed.Seconds()) + " ago"
}

func labelOf(c members.Cluster, id string) string {
	if n, ok := c.Node(id); ok {
		return n.Label()
	}
	return id
}
