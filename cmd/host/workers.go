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

STATE is starting, ready, draining (takes no more calls), stopping or dead. CALLS were started on the worker,
ERRORS of them ended with one, of which LAST is the latest; a call that was tried on several workers is one at each.

With -o json: a list of objects with id, pool, node, pid, state, slots, busy, calls, errors, last_error where
there is one, run_time (seconds in which its slots were taken, by calls that have ended), session_count,
rss_bytes (0: unknown), devices (that it has for itself), started_at and age (seconds).`,
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
	now := time.Now()
	if p.json() {
		list = filled(slices.Clone(list))
		for i := range list {
			list[i].Age, list[i].Devices = now.Sub(list[i].StartedAt).Round(time.Millisecond).Seconds(), filled(list[i].Devices)
		}
		return printJSON(p.stdout, list)
	}
	return printWorkers(p.stdout, list, now)
}

func printWorkers(w io.Writer, list []workerStatus, now time.Time) error {
	rows := [][]string{{"ID", "POOL", "NODE", "PID", "STATE", "BUSY", "CALLS", "ERRORS", "LAST", "SESSIONS", "MEMORY", "AGE"}}
	for _, x := range list {
		rows = append(rows, []string{
			x.ID, x.Pool, x.Node, strconv.Itoa(x.PID), x.State,
			strconv.Itoa(x.Busy) + "/" + strconv.Itoa(x.Slots), strconv.FormatUint(x.Calls, 10),
			strconv.FormatUint(x.Errors, 10), x.LastError, strconv.Itoa(x.SessionCount), bytesText(x.RSSBytes), ageText(x.StartedAt, now),
		})
	}
	return table(w, rows)
}

func ageText(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	age := max(now.Sub(since), 0)
	if age < time.Minute {
		return strconv.Itoa(int(age.Seconds())) + "s"
	}
	return spanText(age.Seconds())
}
