package main

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) sessionsCommand() *cobra.Command {
	var pool string
	cmd := p.command(&cobra.Command{
		Use:   "sessions [--pool P]",
		Short: "List the open sessions",
		Long: `List the open sessions, with the worker that is each one's home, and when it expires unless it's used before.

With -o json: a list of objects with id, pool, node, worker (empty: no home yet), epoch (grows with each
change of home), opened_at, and expires_at, which a session that never expires hasn't.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.sessions(ctx, e, pool) })
	})
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
	if p.json() {
		return printJSON(p.stdout, filled(list))
	}
	return printSessions(p.stdout, list, time.Now())
}

func printSessions(w io.Writer, list []sessionStatus, now time.Time) error {
	rows := [][]string{{"ID", "POOL", "NODE", "WORKER", "EPOCH", "OPENED", "EXPIRES"}}
	for _, s := range list {
		expires := "never"
		if !s.ExpiresAt.IsZero() {
			expires = "in " + spanText(s.ExpiresAt.Sub(now).Seconds())
		}
		rows = append(rows, []string{s.ID, s.Pool, s.Node, s.Worker, strconv.FormatUint(s.Epoch, 10), ago(s.OpenedAt, now), expires})
	}
	return table(w, rows)
}
