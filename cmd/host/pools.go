package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) poolsCommand() *cobra.Command {
	var events bool
	cmd := p.command(&cobra.Command{
		Use:   "pools [NAME] [--events]",
		Short: "List the live host's pools, with their counts and times",
		Long: `List the live host's pools, or one: its workers and slots, what became of its calls, and how long they
waited and ran. Times are since the host began; snakepit top shows those of the last moments.

READY is workers that can take calls, of those there should be, and in brackets between which bounds that
follows the load. QUEUE and RUN are the times that half of the calls, and all but one in a hundred, didn't exceed.

Knobs that snakepit pools set has set for all hosts of the cluster, and that hold here, follow the table.

With -o json: a list of objects with those of status's pools, and events, a list of objects with at, kind,
and, where there is one, worker, reason and detail.`,
		Example:           "  snakepit pools\n  snakepit pools default --events\n  snakepit pools set default pool_size=8",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completePoolName,
	}, func(ctx context.Context, args []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.pools(ctx, e, args, events) })
	})
	cmd.AddCommand(p.poolsSetCommand(), p.poolsUnsetCommand(), p.poolsOverridesCommand())
	cmd.Flags().BoolVar(&events, "events", false, "what happened lately as well: the latest 64 of each pool")
	return cmd
}

func (p *program) pools(ctx context.Context, e engine, names []string, events bool) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	list := st.Pools
	if len(names) > 0 {
		if err := checkPool(ctx, e, names[0]); err != nil {
			return err
		}
		list = slices.DeleteFunc(slices.Clone(list), func(pool poolStatus) bool { return pool.Name != names[0] })
	}
	if p.json() {
		return printJSON(p.stdout, whole(list))
	}
	if err := printPools(p.stdout, list, time.Now()); err != nil || !events {
		return err
	}
	return printEvents(p.stdout, list)
}

// whole makes what is empty empty, and not null.
func whole(list []poolStatus) []poolStatus {
	list = filled(slices.Clone(list))
	for i := range list {
		list[i].Errors, list[i].Recycled, list[i].Overrides = filledMap(list[i].Errors), filledMap(list[i].Recycled), filledMap(list[i].Overrides)
	}
	return list
}

func filledMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func printPools(w io.Writer, list []poolStatus, now time.Time) error {
	rows := [][]string{{"POOL", "ADAPTER", "READY", "BUSY", "QUEUED", "CALLS", "ERRORS", "QUEUE P50", "P99", "RUN P50", "P99", "BREAKER"}}
	for _, pool := range list {
		rows = append(rows, []string{
			pool.Name, pool.Adapter, readyText(pool), fmt.Sprintf("%d/%d", pool.Busy, pool.Slots),
			strconv.Itoa(pool.Queued), strconv.FormatUint(pool.Calls, 10), errorCounts(pool.Errors),
			timeText(pool.QueueTime.Count, pool.QueueTime.P50), timeText(pool.QueueTime.Count, pool.QueueTime.P99),
			timeText(pool.RunTime.Count, pool.RunTime.P50), timeText(pool.RunTime.Count, pool.RunTime.P99),
			breakerText(pool.Breaker, now),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if err := printStartErrors(w, list); err != nil {
		return err
	}
	return printOverridden(w, list)
}

// readyText is "2/3 (1..4), 1 starting".
func readyText(p poolStatus) string {
	text := fmt.Sprintf("%d/%d", p.Ready, p.Size)
	if p.MinSize != p.MaxSize {
		text += fmt.Sprintf(" (%d..%d)", p.MinSize, p.MaxSize)
	}
	if p.Starting > 0 {
		text += fmt.Sprintf(", %d starting", p.Starting)
	}
	if p.Draining > 0 {
		text += fmt.Sprintf(", %d draining", p.Draining)
	}
	return text
}

func breakerText(b breakerStatus, now time.Time) string {
	if b.State == "open" && !b.RetryAt.IsZero() {
		return "open for " + spanText(b.RetryAt.Sub(now).Seconds())
	}
	return b.State
}

// timeText is a time in seconds; empty where there was none.
func timeText(count uint64, s float64) string {
	if count == 0 {
		return ""
	}
	return spanText(s)
}

// spanText is a time with two or three digits and its unit.
func spanText(s float64) string {
	switch {
	case s <= 0:
		return "0s"
	case s < 1e-3:
		return fmt.Sprintf("%.0fµs", s*1e6)
	case s < 10e-3:
		return fmt.Sprintf("%.1fms", s*1e3)
	case s < 1:
		return fmt.Sprintf("%.0fms", s*1e3)
	case s < 10:
		return fmt.Sprintf("%.1fs", s)
	case s < 120:
		return fmt.Sprintf("%.0fs", s)
	case s < 2*3600:
		return fmt.Sprintf("%.0fm", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.0fh", s/3600)
	}
	return fmt.Sprintf("%.0fd", s/(24*3600))
}

// printEvents lists what happened, in order of time.
func printEvents(w io.Writer, list []poolStatus) error {
	type row struct {
		at    time.Time
		cells []string
	}
	var rows []row
	for _, pool := range list {
		for _, e := range pool.Events {
			rows = append(rows, row{e.At, []string{e.At.Local().Format("2006-01-02 15:04:05.000"), pool.Name, e.Kind, e.Worker, e.Reason, e.Detail}})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.at.Compare(b.at) })
	cells := [][]string{{"AT", "POOL", "EVENT", "WORKER", "REASON", "DETAIL"}}
	for _, r := range rows {
		cells = append(cells, r.cells)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return table(w, cells)
}
