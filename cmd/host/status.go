package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/members"
)

func (p *program) statusCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "status",
		Short: "Tell how the live host is",
		Long: `Tell how the live host is: its process, its pools, and how busy they are.

CALLS were started on a worker, each counted once however often it was tried. ERRORS are all calls that failed,
by reason, those that never got a worker included.

CLUSTER, where it's a node of several, is the first line of snakepit cluster status.

With -o json: an object with node, pid, version, state, started_at, uptime (seconds), data_dir, session_count, cluster (an object with
state, summary and leader, where it's a node of several),
refused (calls that failed before they had a pool, and those of the host's own tools, by reason) and pools, a list of objects with

  name, adapter
  size, min_size, max_size, ready, starting, draining    workers: how many there should be, between which
                                                         bounds that follows the load, and how many are how far
  busy, slots, queued                                    slots taken, slots there are, calls that wait
  received, open, calls, ok, errors                      calls: all that came, those without an answer yet, those that were
                                                         started on a worker, and how they ended; errors by reason
  rejected, retried                                      calls that were refused since too many waited; starts beyond a call's first
  queue_time, run_time                                   objects with count, mean, p50, p90, p99 and max, in seconds
  bytes_in, bytes_out                                    of arguments, chunks and results
  replaced, recycled                                     workers that took a dead one's place; those at the end of their time, by cause
  breaker                                                an object with state (closed, open, half_open), failures, and retry_at when it's open
  overrides                                              knobs that are set for all hosts of the cluster and hold here, values by name
  last_start_error                                       where there is one`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.withHost(ctx, p.status) })
}

// withHost runs f on the live host.
func (p *program) withHost(ctx context.Context, f func(ctx context.Context, e engine) error) (err error) {
	if _, err := p.settings(); err != nil {
		return err
	}
	target, err := p.target()
	if err != nil {
		return err
	}
	e, err := p.reach(ctx, target)
	if err != nil {
		return unreachable(err, target)
	}
	defer func() {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}()
	return unreachable(f(ctx, e), target)
}

func (p *program) status(ctx context.Context, e engine) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	st.Cluster = clusterIn(ctx, e)
	now := time.Now()
	if p.json() {
		st.Uptime = now.Sub(st.StartedAt).Round(time.Millisecond).Seconds()
		st.Refused, st.Pools = filledMap(st.Refused), whole(st.Pools)
		for i := range st.Pools {
			st.Pools[i].Events = nil // of pools alone
		}
		return printJSON(p.stdout, st)
	}
	return printStatus(p.stdout, st, now)
}

// clusterIn is the cluster that a host is in; nil where it's the only one. What can't
// be said of it is no reason to say nothing of the host.
func clusterIn(ctx context.Context, e engine) *hostCluster {
	c, several := several(ctx, e)
	if !several {
		return nil
	}
	return &hostCluster{State: string(c.State), Summary: c.Summary, Leader: c.Leader}
}

// several gives the cluster of a host that is one of several nodes.
func several(ctx context.Context, e engine) (members.Cluster, bool) {
	h, ok := e.(clusterView)
	if !ok {
		return members.Cluster{}, false
	}
	c, err := h.Cluster(ctx)
	return c, err == nil && len(c.Nodes) > 1
}

func (p *program) json() bool { return p.opts.output == outputJSON }

func printStatus(w io.Writer, st hostStatus, now time.Time) error {
	rows := [][]string{
		{"node", st.Node},
		{"state", st.State},
		{"pid", strconv.Itoa(st.PID)},
		{"version", st.Version},
		{"started", startedText(st.StartedAt, now)},
		{"data", st.DataDir},
		{"sessions", strconv.Itoa(st.SessionCount)},
	}
	if st.Cluster != nil {
		rows = append(rows, []string{"cluster", st.Cluster.Summary})
	}
	if len(st.Refused) > 0 {
		rows = append(rows, []string{"refused", errorCounts(st.Refused)})
	}
	if err := table(w, rows); err != nil || len(st.Pools) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	rows = [][]string{{"POOL", "ADAPTER", "READY", "BUSY", "QUEUED", "CALLS", "ERRORS", "REPLACED"}}
	for _, pool := range st.Pools {
		rows = append(rows, []string{
			pool.Name, pool.Adapter,
			readyText(pool), fmt.Sprintf("%d/%d", pool.Busy, pool.Slots),
			strconv.Itoa(pool.Queued), strconv.FormatUint(pool.Calls, 10), errorCounts(pool.Errors),
			strconv.FormatUint(pool.Replaced, 10),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	return printStartErrors(w, st.Pools)
}

func printStartErrors(w io.Writer, pools []poolStatus) error {
	for _, pool := range pools {
		if pool.LastStartError == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "\npool %s: its newest worker couldn't start: %s\n", cell(pool.Name), clean(pool.LastStartError)); err != nil {
			return err
		}
	}
	return nil
}

func startedText(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime) + ", " + ago(t, now)
}

// errorCounts is "3 python_exception, 1 deadline", the most frequent first.
func errorCounts(counts map[string]uint64) string {
	reasons := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(min(max(int64(counts[b])-int64(counts[a]), -1), 1)) //nolint:gosec // only the sign counts
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, r := range reasons {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}
