package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
)

// configVariable names the file that serve reads where no -c does.
const configVariable = "SNAKEPIT_CONFIG"

// settings are the knobs without a file: what the environment and --set have.
func (p *program) settings() (*config.Config, error) { return p.configuration("", hostFlags{}) }

// hostFlags are the flags of commands that start a host.
type hostFlags struct {
	config  string
	adapter string
	workers int
	watch   bool // of serve
	cluster clusterFlags
}

// configuration is what a file, the environment and the flags say. What is wrong
// with the flags alone is wrong usage.
func (p *program) configuration(file string, f hostFlags) (*config.Config, error) {
	src := config.Sources{File: file, Environ: p.environ()}
	if file != "" {
		text, err := readConfig(file)
		if err != nil {
			return nil, err
		}
		src.YAML = text
	}
	for _, pair := range p.opts.set {
		src.Flags = append(src.Flags, config.Flag{Name: "--set", Pair: pair})
	}
	if f.adapter != "" {
		src.Flags = append(src.Flags, config.Flag{Name: "--adapter", Pair: "adapter=" + f.adapter, One: true})
	}
	if f.workers != 0 {
		src.Flags = append(src.Flags, config.Flag{Name: "--workers", Pair: "pool_size=" + strconv.Itoa(f.workers), One: true})
	}
	src.Flags = append(src.Flags, f.cluster.knobs()...)
	c, err := config.Load(src)
	faults := config.FaultsIn(err)
	if len(faults) > 0 && !slices.ContainsFunc(faults, func(f config.Fault) bool { return f.Origin.Kind != config.FromFlag }) {
		return nil, &usageError{err}
	}
	return c, err
}

func readConfig(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, usagef("configuration %s: %w", file, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return nil, usagef("configuration %s: want a file, which can be read again", file)
	}
	return readBounded(f, file)
}

// configFile is the file that serve and config read: the flag's, else the
// environment's; empty: none.
func (p *program) configFile(flag string) string {
	if flag != "" {
		return flag
	}
	return p.getenv(configVariable)
}

// sets reports whether a knob was set, by hand or by the environment.
func sets(c *config.Config, knob string) bool {
	origin := c.Origin(knob)
	if len(c.Pools) > 0 && origin.Kind == "" {
		origin = c.Pools[0].Origin(knob)
	}
	switch origin.Kind {
	case config.FromFile, config.FromEnviron, config.FromFlag, config.FromOverride:
		return true
	case config.FromDefault, config.Derived:
	}
	return false
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
	values := slices.Clone(k.Choices)
	if k.Kind != config.Choice && len(k.Words) > 0 {
		values = append(values, k.Words[0].Text)
	}
	return values
}

// logger writes to stderr what a level lets through.
func (p *program) logger(level string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "snakepit", Output: p.stderr, Level: hclog.LevelFromString(level), JSONFormat: p.json(),
	})
}
