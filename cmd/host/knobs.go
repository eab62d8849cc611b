package main

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
)

// settings are the knobs as --set has them. Wrong ones are wrong usage.
func (p *program) settings() (config.Settings, error) {
	s, err := config.Parse(p.opts.set)
	if err != nil {
		return s, &usageError{err}
	}
	return s, nil
}

// sets reports whether a knob was set by hand.
func (p *program) sets(knob string) bool {
	return slices.ContainsFunc(p.opts.set, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.TrimSpace(name) == knob
	})
}

// completeKnob completes a knob's name, then its value where there is a choice.
func completeKnob(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	name, _, hasValue := strings.Cut(word, "=")
	var found []cobra.Completion
	for _, k := range config.Knobs() {
		if !hasValue && strings.HasPrefix(k.Name, word) {
			found = append(found, cobra.CompletionWithDesc(k.Name+"=", k.Text))
		}
		for _, value := range knobValues(k) {
			if hasValue && name == k.Name && strings.HasPrefix(k.Name+"="+value, word) {
				found = append(found, k.Name+"="+value)
			}
		}
	}
	if hasValue {
		return found, cobra.ShellCompDirectiveNoFileComp
	}
	return found, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func knobValues(k config.Knob) []string {
	if k.Kind == config.Bool {
		return []string{"true", "false"}
	}
	return k.Choices
}

// logger writes to stderr what a level lets through.
func (p *program) logger(level string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "snakepit", Output: p.stderr, Level: hclog.LevelFromString(level), JSONFormat: p.json(),
	})
}
