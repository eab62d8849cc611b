package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snakepit-go/snakepit/host"
)

// addOrderFlags adds the flags that say when and where a call runs.
func (p *program) addOrderFlags(cmd *cobra.Command, f *callFlags) {
	flags := cmd.Flags()
	flags.StringVar(&f.caller, "caller", "", "share the pool's slots as caller `NAME` (default: the session, else this connection)")
	flags.Var(&f.priority, "priority", "its `CLASS` in the queue: low, normal (default) or high")
	flags.Var(&f.affinity, "affinity", "`WHAT` to do when the session's worker is busy: hint (go elsewhere), strict_queue (wait) or strict_fail_fast")
	flags.Var(&f.availability, "availability", "`WHAT` becomes of a session that this call opens when its node is cut off: strict (default: another node goes on with it) or local (it goes on there, and nowhere else)")
	complete(cmd, "availability", cobra.FixedCompletions(availabilities(), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "caller", cobra.NoFileCompletions)
	complete(cmd, "priority", cobra.FixedCompletions(priorities(), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "affinity", cobra.FixedCompletions(affinities(), cobra.ShellCompDirectiveNoFileComp))
}

// priority is a flag that takes a call's class by its name.
type priority host.Priority

var (
	_ pflag.Value = (*priority)(nil)
	_ pflag.Value = (*affinity)(nil)
	_ pflag.Value = (*availability)(nil)
)

// priorities are their names, from PriorityLow on.
func priorities() []string { return []string{"low", "normal", "high"} }

func affinities() []string {
	return []string{string(host.AffinityHint), string(host.AffinityStrictQueue), string(host.AffinityStrictFailFast)}
}

func (p *priority) Type() string { return "priority" }

func (p *priority) String() string {
	if *p == 0 {
		return ""
	}
	return priorities()[*p-priority(host.PriorityLow)]
}

func (p *priority) Set(text string) error {
	n := slices.Index(priorities(), text)
	if n < 0 {
		return errors.New("want " + strings.Join(priorities(), ", "))
	}
	*p = priority(n) + priority(host.PriorityLow)
	return nil
}

// affinity is a flag that takes one by its name.
type affinity host.Affinity

func (a *affinity) Type() string   { return "affinity" }
func (a *affinity) String() string { return string(*a) }

func (a *affinity) Set(text string) error {
	if !slices.Contains(affinities(), text) {
		return errors.New("want " + strings.Join(affinities(), ", "))
	}
	*a = affinity(text)
	return nil
}

// availability is a flag that takes one by its name.
type availability host.Availability

func availabilities() []string {
	return []string{string(host.AvailabilityStrict), string(host.AvailabilityLocal)}
}

func (a *availability) Type() string   { return "availability" }
func (a *availability) String() string { return string(*a) }

func (a *availability) Set(text string) error {
	if !slices.Contains(availabilities(), text) {
		return errors.New("want " + strings.Join(availabilities(), ", "))
	}
	*a = availability(text)
	return nil
}
