package main

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) workersCommand() *cobra.Command {
	var pool string
	cmd := p.command(&cobra.Command{
		Use:   "workers [--pool P]",
		Short: "List the live host's workers",
		Long: `List the live host's workers.

With -o json: a list of objects with id, pool, node, pid, state, slots, busy, calls, session_count,
rss_bytes (0: unknown) and started_at.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.workers(ctx, e, pool) })
	})
	cmd.Flags().StringVar(&pool, "pool", "", "only the workers of pool `P`")
	complete(cmd, "pool", p.completePool)
	return cmd
}

func (p *program) workers(ctx context.Context, e engine, pool string) error {
	list, err := e.Workers(ctx)
	if err != nil {
		return err
	}
	if pool != "" {
		if err := checkPool(ctx, e, pool); err != nil {
			return err
		}
		list = slices.DeleteFunc(slices.Clone(list), func(w workerStatus) bool { return w.Pool != pool })
	}
	if p.json() {
		return printJSON(p.stdout, filled(list))
	}
	return printWorkers(p.stdout, list, time.Now())
}

func printWorkers(w io.Writer, list []workerStatus, now time.Time) error {
	rows := [][]string{{"ID", "POOL", "NODE", "PID", "STATE", "BUSY", "CALLS", "SESSIONS", "MEMORY", "STARTED"}}
	for _, x := range list {
		rows = append(rows, []string{
			x.ID, x.Pool, x.Node, strconv.Itoa(x.PID), x.State,
			strconv.Itoa(x.Busy) + "/" + strconv.Itoa(x.Slots), strconv.FormatUint(x.Calls, 10),
			strconv.Itoa(x.SessionCount), bytesText(x.RSSBytes), ago(x.StartedAt, now),
		})
	}
	return table(w, rows)
}
