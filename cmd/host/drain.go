package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) drainCommand() *cobra.Command {
	return p.workerCommand(&cobra.Command{
		Use:   "drain WORKER",
		Short: "Take one of the live host's workers out of service",
		Long: `Take a worker out of service: another one is started in its place, then it gets no more calls, ends
those that it has, and is stopped. No call fails. It returns when the worker is gone; Ctrl-C leaves the
draining to go on by itself. When the other one can't start, this fails and the worker serves on.`,
		Example: `  snakepit drain default-1f2e3d4c-2`,
	}, "drained", engine.DrainWorker)
}

func (p *program) killCommand() *cobra.Command {
	return p.workerCommand(&cobra.Command{
		Use:   "kill WORKER",
		Short: "Kill one of the live host's workers",
		Long: `Kill a worker at once, without asking it. The calls that it runs fail with worker_crashed, and may have
run. Another worker takes its place.`,
		Example: `  snakepit kill default-1f2e3d4c-2`,
	}, "killed", engine.KillWorker)
}

// workerCommand is a command that does something to one worker, and says so.
func (p *program) workerCommand(cmd *cobra.Command, done string, do func(engine, context.Context, string) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = p.completeWorker
	return p.command(cmd, func(ctx context.Context, args []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error {
			if err := do(e, ctx, args[0]); err != nil {
				return err
			}
			if p.json() {
				return printJSON(p.stdout, map[string]string{"worker": args[0], "state": done})
			}
			_, err := fmt.Fprintf(p.stdout, "%s worker=%s\n", done, args[0])
			return err
		})
	})
}
