package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) upgradeCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "upgrade",
		Short: "Let a new process take over the live host",
		Long: `Let a new process take over the live host: the program at its path, which may be a newer version by
now, with the same command line, environment and data directory.

Workers keep their memory, and sessions their state. Calls that run may finish for up to the knob
upgrade_wait; those that come meanwhile wait for the new process. When the new one isn't fit to take
over, because its command line or configuration is wrong, say, nothing changes and this fails.

It prints the new process's pid, and returns when that one serves. SIGUSR2 to the host does the same.
With -o json: an object with old_pid and pid.`,
		Example:           `  snakepit upgrade`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.withHost(ctx, p.upgrade) })
}

func (p *program) upgrade(ctx context.Context, e engine) error {
	before, err := e.Status(ctx)
	if err != nil {
		return err
	}
	pid, err := e.Upgrade(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(p.stderr, "process %d takes over once the running calls have ended …\n", pid)
	after, err := nextHost(ctx, e, before.PID)
	switch {
	case err != nil:
		return err
	case after.PID != pid:
		return errdefs.New(errdefs.StartFailed, "process %d was to take over, and process %d serves", pid, after.PID)
	case p.json():
		return printJSON(p.stdout, map[string]int{"old_pid": before.PID, "pid": after.PID})
	}
	_, err = fmt.Fprintf(p.stdout, "upgraded old_pid=%d pid=%d\n", before.PID, after.PID)
	return err
}

// nextHost gives the status of the host that comes after the one with a pid. That one
// may answer for a moment yet; then the next answers, as soon as it serves.
func nextHost(ctx context.Context, e engine, old int) (hostStatus, error) {
	for {
		st, err := e.Status(ctx)
		if err != nil || st.PID != old {
			return st, err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

const askAgain = 20 * time.Millisecond
