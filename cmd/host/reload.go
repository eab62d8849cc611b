package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) reloadCommand() *cobra.Command {
	var whole bool
	cmd := p.command(&cobra.Command{
		Use:   "reload [POOL] [--config]",
		Short: "Replace the live host's workers by new ones, or read its configuration again",
		Long: `Replace the workers of a pool, or of all, by new ones, which run the adapter as it is now: a few at a
time, each new one first, then the old one ends its calls and is stopped. No call fails. It returns when
the last old worker is gone.

When a new worker can't start, the reload ends there and this fails: the workers that are left serve on.
Ctrl-C ends it likewise. Sessions whose worker was replaced go on with another one, as after a crash.
With -o json: a list of objects with pool, total and replaced.

` + reloadConfigText,
		Example: `  snakepit reload
  snakepit reload ml
  snakepit reload --config`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completePoolName,
	}, func(ctx context.Context, args []string) error {
		switch {
		case whole && len(args) > 0:
			return usagef("--config is for the whole host: leave the pool out")
		case whole:
			return p.withHost(ctx, p.reloadConfig)
		}
		pool := ""
		if len(args) > 0 {
			pool = args[0]
		}
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.reload(ctx, e, pool) })
	})
	cmd.Flags().BoolVar(&whole, "config", false, "read the configuration's file again, and apply what has changed")
	return cmd
}

// reloadStep is how far a pool's reload has come, as `reload` shows it.
type reloadStep struct {
	Pool     string `json:"pool"`
	Total    int    `json:"total"`
	Replaced int    `json:"replaced"`
	Worker   string `json:"-"` // the one that was replaced last; empty: none yet
}

func (p *program) reload(ctx context.Context, e engine, pool string) error {
	var pools []reloadStep // as far as each has come
	err := e.Reload(ctx, pool, func(s reloadStep) {
		if len(pools) == 0 || pools[len(pools)-1].Pool != s.Pool {
			pools = append(pools, s)
		}
		pools[len(pools)-1] = s
		if s.Worker != "" && !p.json() {
			_, _ = fmt.Fprintf(p.stderr, "%s: %d of %d replaced\n", cell(s.Pool), s.Replaced, s.Total)
		}
	})
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, filled(pools))
	}
	for _, s := range pools {
		if _, err := fmt.Fprintf(p.stdout, "reloaded pool=%s workers=%d\n", cell(s.Pool), s.Replaced); err != nil {
			return err
		}
	}
	return nil
}
