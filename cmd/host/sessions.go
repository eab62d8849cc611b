package main

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) sessionsCommand() *cobra.Command {
	var pool string
	cmd := p.command(&cobra.Command{
		Use:   "sessions [--pool P]",
		Short: "List the open sessions",
		Long: `List the open sessions, with the worker that is each one's home, and when it expires unless it's used before. In a cluster
they're those of all nodes. NODE owns one, and alone knows when it expires: ask it with --host for what stands as - here.

With -o json: a list of objects with id, pool, node (its name, or its id where two have that name), worker (empty: no home yet), epoch (grows with each
change of home), opened_at, away (true for another node's), and expires_at, which one that never expires, or is another node's, hasn't.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.sessions(ctx, e, pool) })
	})
	cmd.AddCommand(p.sessionsMoveCommand())
	cmd.Flags().StringVar(&pool, "pool", "", "only the sessions of pool `P`")
	complete(cmd, "pool", p.completePool)
	return cmd
}

func (p *program) sessions(ctx context.Context, e engine, pool string) error {
	if pool != "" {
		if err := checkPool(ctx, e, pool); err != nil {
			return err
		}
	}
	list, err := e.Sessions(ctx, pool)
	if err != nil {
		return err
	}
	list = byNodeName(ctx, e, list)
	if p.json() {
		return printJSON(p.stdout, filled(list))
	}
	return printSessions(p.stdout, list, time.Now())
}

// byNodeName calls nodes as people do: a session's owner is an id.
func byNodeName(ctx context.Context, e engine, list []sessionStatus) []sessionStatus {
	if len(list) == 0 {
		return list
	}
	h, ok := e.(clusterView)
	if !ok {
		return list
	}
	c, err := h.Cluster(ctx)
	if err != nil {
		return list
	}
	list = slices.Clone(list)
	for i := range list {
		if n, known := c.Node(list[i].Node); known {
			list[i].Node = c.Reference(n)
		}
	}
	return list
}

func printSessions(w io.Writer, list []sessionStatus, now time.Time) error {
	rows := [][]string{{"ID", "POOL", "NODE", "WORKER", "EPOCH", "OPENED", "EXPIRES"}}
	for _, s := range list {
		rows = append(rows, []string{s.ID, s.Pool, s.Node, s.Worker, strconv.FormatUint(s.Epoch, 10), ago(s.OpenedAt, now), expiresText(s, now)})
	}
	return table(w, rows)
}

// expiresText is empty for what the host that was asked can't know.
func expiresText(s sessionStatus, now time.Time) string {
	switch {
	case !s.ExpiresAt.IsZero():
		return "in " + spanText(s.ExpiresAt.Sub(now).Seconds())
	case s.Away:
		return ""
	}
	return "never"
}
