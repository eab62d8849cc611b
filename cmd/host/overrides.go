package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
)

// overrider is a live host as somebody sees it who sets knobs for all hosts of a cluster.
type overrider interface {
	// Override sets knobs of a pool, and gives all that are set for it by then, and
	// what is odd about them.
	Override(ctx context.Context, pool string, knobs map[string]string) (set map[string]string, warnings []string, err error)
	// Restore takes knobs of a pool back, all where none is named, and gives those that
	// were set.
	Restore(ctx context.Context, pool string, knobs []string) (removed []string, err error)
	// Overrides lists what is set, by pool and knob.
	Overrides(ctx context.Context) ([]poolOverride, error)
}

// poolOverride is a knob that is set for all hosts, as `pools overrides` shows it.
type poolOverride struct {
	Pool  string `json:"pool"`
	Knob  string `json:"knob"`
	Value string `json:"value"`
	Own   string `json:"own"`
	From  string `json:"own_from"`
	Holds bool   `json:"holds"`
	Note  string `json:"note,omitempty"`
}

func (p *program) poolsSetCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "set POOL KNOB=VALUE...",
		Short: "Set knobs of a pool on all hosts of the cluster",
		Long: `Set knobs of a pool on all hosts of the cluster, in place of what each one's own configuration has: its file,
its environment and its flags. A host that runs by itself is a cluster of one.

It's kept in the cluster's registry: every host that has the pool takes it within moments, without a restart,
and takes it again when it starts, until snakepit pools unset. Other knobs that are set so stay. Everything
is checked first, and what's wrong changes nothing.

Only knobs that hold at once can be set so: docs/configuration.md has "at once" in their column change. What
workers are (adapter, python, env, limits) stays with each host's own configuration. A value that a host can't
take, since it contradicts its own configuration, is named in that host's log and by snakepit pools overrides there.

It prints all that is set for the pool. With -o json: an object with pool, knobs (values by name) and warnings.`,
		Example: `  snakepit pools set default pool_size=8
  snakepit pools set ml min_size=1 max_size=6 queue_timeout=30s`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: p.completeOverride,
	}, func(ctx context.Context, args []string) error {
		knobs, err := parseKnobs(args[1:])
		if err != nil {
			return err
		}
		return p.withOverrides(ctx, func(ctx context.Context, h overrider) error { return p.poolsSet(ctx, h, args[0], knobs) })
	})
}

func (p *program) poolsUnsetCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "unset POOL [KNOB...]",
		Short: "Go back to what each host's own configuration has",
		Long: `Take back knobs of a pool that snakepit pools set has set, or all of them where none is named: every host
goes back to what its own configuration has.

It prints the knobs that were set. With -o json: an object with pool and knobs, a list of their names.`,
		Example: `  snakepit pools unset default pool_size
  snakepit pools unset ml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: p.completeOverridden,
	}, func(ctx context.Context, args []string) error {
		return p.withOverrides(ctx, func(ctx context.Context, h overrider) error { return p.poolsUnset(ctx, h, args[0], args[1:]) })
	})
}

func (p *program) poolsOverridesCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "overrides",
		Short: "List the knobs that are set for all hosts of the cluster",
		Long: `List the knobs that snakepit pools set has set for all hosts of the cluster, and how the host that answers
takes each: OWN is what its own configuration has, FROM where that is from, and NOTE why the value doesn't
hold there, or only in part.

With -o json: a list of objects with pool, knob, value, own, own_from, holds, and note where there is one.`,
		Example: `  snakepit pools overrides
  snakepit pools overrides -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.withOverrides(ctx, p.poolsOverrides) })
}

// withOverrides runs f on the live host.
func (p *program) withOverrides(ctx context.Context, f func(ctx context.Context, h overrider) error) error {
	return withHostAs(ctx, p, "this host has no registry in which knobs could be set", f)
}

// parseKnobs reads KNOB=VALUE words; the host knows what they may be.
func parseKnobs(words []string) (map[string]string, error) {
	knobs := map[string]string{}
	for _, word := range words {
		knob, value, found := strings.Cut(word, "=")
		if !found || knob == "" {
			return nil, usagef("%q isn't KNOB=VALUE", clip(word))
		}
		if _, twice := knobs[knob]; twice {
			return nil, usagef("%s is set twice", clip(knob))
		}
		knobs[knob] = value
	}
	return knobs, nil
}

func (p *program) poolsSet(ctx context.Context, h overrider, pool string, knobs map[string]string) error {
	set, warnings, err := h.Override(ctx, pool, knobs)
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, map[string]any{"pool": pool, "knobs": set, "warnings": filled(warnings)})
	}
	for _, text := range warnings {
		if _, err := fmt.Fprintf(p.stderr, "warning: %s\n", clean(text)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.stdout, "set pool=%s %s\n", cell(pool), pairsText(set))
	return err
}

// pairsText is "max_size=6 pool_size=2".
func pairsText(knobs map[string]string) string {
	var pairs []string
	for _, knob := range slices.Sorted(maps.Keys(knobs)) {
		pairs = append(pairs, cell(knob)+"="+cell(knobs[knob]))
	}
	return strings.Join(pairs, " ")
}

func (p *program) poolsUnset(ctx context.Context, h overrider, pool string, knobs []string) error {
	removed, err := h.Restore(ctx, pool, knobs)
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, map[string]any{"pool": pool, "knobs": filled(removed)})
	}
	if len(removed) == 0 {
		_, err = fmt.Fprintf(p.stdout, "nothing was set pool=%s\n", cell(pool))
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "unset pool=%s knobs=%s\n", cell(pool), cell(strings.Join(removed, ",")))
	return err
}

func (p *program) poolsOverrides(ctx context.Context, h overrider) error {
	list, err := h.Overrides(ctx)
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, filled(list))
	}
	return printOverrides(p.stdout, list)
}

func printOverrides(w io.Writer, list []poolOverride) error {
	rows := [][]string{{"POOL", "KNOB", "VALUE", "OWN", "FROM", "HOLDS", "NOTE"}}
	for _, o := range list {
		holds := "yes"
		if !o.Holds {
			holds = "no"
		}
		rows = append(rows, []string{o.Pool, o.Knob, o.Value, o.Own, o.From, holds, o.Note})
	}
	return table(w, rows)
}

// printOverridden says of each pool which of its knobs aren't its own configuration's.
func printOverridden(w io.Writer, pools []poolStatus) error {
	for _, pool := range pools {
		if len(pool.Overrides) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "\npool %s: set for all hosts (override): %s\n", cell(pool.Name), pairsText(pool.Overrides)); err != nil {
			return err
		}
	}
	return nil
}

// completeOverride completes a pool, then knobs that can be set for all hosts.
func (p *program) completeOverride(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return p.completePool(cmd, args, word)
	}
	found, directive := completeKnob(cmd, args, word)
	can := config.Overridable()
	return slices.DeleteFunc(found, func(c cobra.Completion) bool {
		knob, _, _ := strings.Cut(c, "=")
		return !slices.Contains(can, knob)
	}), directive
}

// completeOverridden completes what is set: its pools, then the knobs of one.
func (p *program) completeOverridden(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var found []cobra.Completion
	p.onLive(cmd, func(ctx context.Context, e engine) error {
		h, ok := e.(overrider)
		if !ok {
			return nil
		}
		list, err := h.Overrides(ctx)
		for _, o := range list {
			name := o.Pool
			if len(args) > 0 {
				name = o.Knob
			}
			if strings.HasPrefix(name, word) && (len(args) == 0 || o.Pool == args[0] && !slices.Contains(args[1:], name)) {
				found = append(found, name)
			}
		}
		return err
	})
	return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
}

// Override implements overrider.
func (h liveHost) Override(ctx context.Context, pool string, knobs map[string]string) (set map[string]string, warnings []string, err error) {
	return h.SetPoolOverrides(ctx, pool, knobs)
}

// Restore implements overrider.
func (h liveHost) Restore(ctx context.Context, pool string, knobs []string) ([]string, error) {
	return h.UnsetPoolOverrides(ctx, pool, knobs...)
}

// Overrides implements overrider.
func (h liveHost) Overrides(ctx context.Context) ([]poolOverride, error) {
	list, err := h.PoolOverrides(ctx)
	var all []poolOverride
	for _, o := range list {
		all = append(all, poolOverride{o.GetPool(), o.GetKnob(), o.GetValue(), o.GetOwn(), o.GetOwnFrom(), o.GetHolds(), o.GetNote()})
	}
	return all, err
}
