package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) reloadCommand() *cobra.Command {
	var whole bool
	cmd := p.command(&cobra.Command{
		Use:               "reload --config",
		Short:             "Let the live host read its configuration again",
		Long:              reloadConfigText,
		Example:           `  snakepit reload --config`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		if !whole {
			return usagef("say what to reload: --config")
		}
		return p.withHost(ctx, p.reloadConfig)
	})
	cmd.Flags().BoolVar(&whole, "config", false, "read the configuration's file again, and apply what has changed")
	return cmd
}
