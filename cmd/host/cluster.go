package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) clusterCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = p.command(&cobra.Command{
		Use:   "cluster",
		Short: "Look after several hosts that keep sessions together",
		Long: `Look after a cluster: hosts that keep sessions together, so that one takes over what another one that is gone had.
docs/cluster.md is its guide.

A command talks to one node, the live host of the data directory or of --host, whichever that is: what
only the leader can do is passed on to it.`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(_ context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for \"snakepit cluster\"\nSee `snakepit cluster --help`.", args[0])
		}
		printHelp(cmd, nil)
		return nil
	})
	cmd.AddCommand(p.clusterSubcommands()...)
	return cmd
}

// clusterSubcommands are all of them, each in a file of its own.
func (p *program) clusterSubcommands() []*cobra.Command {
	return []*cobra.Command{}
}
