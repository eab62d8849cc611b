package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) configCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = p.command(&cobra.Command{
		Use:   "config",
		Short: "Check, show and translate configurations",
		Long: `Check, show and translate configurations. They talk to no host.

A file is given with -c, or named by SNAKEPIT_CONFIG. The environment (SNAKEPIT_QUEUE_SIZE=50) goes before
the file, and --set before both: docs/configuration.md has every knob.`,
		Example: `  snakepit config defaults > snakepit.yaml
  snakepit config check snakepit.yaml
  snakepit serve -c snakepit.yaml`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(_ context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for \"snakepit config\"\nSee `snakepit config --help`.", args[0])
		}
		printHelp(cmd, nil)
		return nil
	})
	cmd.AddCommand(p.configCheckCommand(), p.configShowCommand(), p.configSchemaCommand(), p.configDefaultsCommand(), p.configMigrateCommand())
	return cmd
}

// addConfigFlag adds -c.
func addConfigFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "the configuration: `FILE`, in YAML (default: what SNAKEPIT_CONFIG names)")
	complete(cmd, "config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
}

func yamlFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

func (p *program) configCheckCommand() *cobra.Command {
	var file string
	cmd := p.command(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration",
		Long: `Say what is wrong with a configuration, everything at once, each with its line. The exit code is 0 when
nothing is, and 1 otherwise. What is only odd is a warning, and so are adapters and interpreters that aren't
on this machine.

With -o json: an object with file, ok, pools (their names), warnings and errors, lists of objects with file
and line where it stands in one, from, knob and message.`,
		Example: `  snakepit config check snakepit.yaml
  snakepit config check -o json snakepit.yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: yamlFiles,
	}, func(_ context.Context, args []string) error {
		if len(args) > 0 {
			file = args[0]
		}
		return p.configCheck(p.configFile(file))
	})
	addConfigFlag(cmd, &file)
	return cmd
}

// checkView is what `config check -o json` shows.
type checkView struct {
	File     string      `json:"file"`
	OK       bool        `json:"ok"`
	Pools    []string    `json:"pools"`
	Warnings []faultView `json:"warnings"`
	Errors   []faultView `json:"errors"`
}

type faultView struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	From    string `json:"from"`
	Knob    string `json:"knob,omitempty"`
	Message string `json:"message"`
}

func viewFault(f config.Fault) faultView {
	v := faultView{Line: f.Origin.Line, From: f.Origin.String(), Knob: f.Key, Message: f.Text}
	if f.Origin.Kind == config.FromFile {
		v.File = f.Origin.Name
	}
	return v
}

func (p *program) configCheck(file string) error {
	if file == "" {
		return usagef("say which file: snakepit config check FILE")
	}
	c, err := p.configuration(file, hostFlags{})
	view := checkView{File: file, OK: err == nil, Pools: []string{}, Warnings: []faultView{}, Errors: []faultView{}}
	for _, f := range config.FaultsIn(err) {
		view.Errors = append(view.Errors, viewFault(f))
	}
	if err == nil {
		for _, w := range p.oddities(file, c) {
			view.Warnings = append(view.Warnings, viewFault(config.Fault(w)))
		}
		for _, pool := range c.Pools {
			view.Pools = append(view.Pools, pool.Name)
		}
	}
	if p.json() {
		if perr := printJSON(p.stdout, view); perr != nil {
			return perr
		}
		return err
	}
	if err != nil {
		return err
	}
	return printChecked(p.stdout, p.stderr, view)
}

// oddities are the warnings, and what isn't on this machine.
func (p *program) oddities(file string, c *config.Config) []config.Warning {
	all := c.Warnings
	if len(c.Pools) == 0 {
		return all
	}
	err := embed.Check(embed.Config{File: file, Environ: p.environ(), Set: p.opts.set})
	if err != nil {
		all = append(all, config.Warning{Origin: config.Origin{Kind: config.FromFile, Name: file}, Text: "on this machine: " + errdefs.Of(err).Message})
	}
	return all
}

func printChecked(stdout, stderr io.Writer, v checkView) error {
	for _, w := range v.Warnings {
		if err := printWarning(stderr, w); err != nil {
			return err
		}
	}
	pools := "no pool: give serve an --adapter"
	if len(v.Pools) > 0 {
		pools = count(len(v.Pools), "pool", "s") + ": " + strings.Join(v.Pools, ", ")
	}
	_, err := fmt.Fprintf(stdout, "%s is fine (%s)\n", clean(v.File), clean(pools))
	return err
}

func printWarning(w io.Writer, v faultView) error {
	text := v.Message
	if v.Knob != "" {
		text = v.Knob + ": " + text
	}
	_, err := fmt.Fprintf(w, "warning: %s: %s\n", clean(v.From), clean(text))
	return err
}

func (p *program) configShowCommand() *cobra.Command {
	var file string
	cmd := p.command(&cobra.Command{
		Use:   "show [-c FILE]",
		Short: "Show what holds, and where it's from",
		Long: `Show the value of every knob, and where it's from: the default, a line of the file, a variable of the
environment, a flag, or another knob that it follows from. What is printed is a configuration itself. Values of
environment variables that are called like secrets are masked.

With -o json: an object with file, host (knobs of the host, and of pools too where none is named) and pools, a
list of objects with name and knobs. A knob has value (times in seconds, null: no bound) and from.`,
		Example: `  snakepit config show -c snakepit.yaml
  snakepit config show --set timeout_profile=batch`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error { return p.configShow(p.configFile(file)) })
	addConfigFlag(cmd, &file)
	return cmd
}

func (p *program) configShow(file string) error {
	c, err := p.configuration(file, hostFlags{})
	if err != nil {
		return err
	}
	if !p.json() {
		_, err := io.WriteString(p.stdout, clean(c.YAML()))
		return err
	}
	pools := []map[string]any{}
	for _, pool := range c.Pools {
		pools = append(pools, map[string]any{"name": pool.Name, "knobs": viewValues(pool.Values())})
	}
	return printJSON(p.stdout, map[string]any{"file": c.File, "host": viewValues(c.Values()), "pools": pools})
}

func viewValues(all []config.Value) map[string]any {
	view := map[string]any{}
	for _, v := range all {
		view[v.Knob.Name] = map[string]any{"value": v.Plain, "from": v.From.String()}
	}
	return view
}

func (p *program) configSchemaCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of configurations",
		Long: `Print the JSON Schema of configurations, by which an editor completes and checks them while they're written.

It allows a little more than a host does: config check has the last word.`,
		Example:           `  snakepit config schema > snakepit.schema.json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error {
		schema, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = p.stdout.Write(append(schema, '\n'))
		return err
	})
}

func (p *program) configDefaultsCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "defaults",
		Short: "Print a configuration to begin with",
		Long: `Print a configuration with every knob at its default, as a comment with what it does.

With -o json: a list of objects with name, aliases, kind, default, range, scope (host or pool), layer, change (what
a new value needs to hold in a running host: "at once", "new workers" or "restart") and text.`,
		Example:           `  snakepit config defaults > snakepit.yaml`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error {
		if !p.json() {
			_, err := io.WriteString(p.stdout, config.DefaultsYAML())
			return err
		}
		return printJSON(p.stdout, viewKnobs())
	})
}

// knobView is a knob as `config defaults -o json` shows it.
type knobView struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases"`
	Kind    string   `json:"kind"`
	Default string   `json:"default"`
	Range   string   `json:"range"`
	Scope   string   `json:"scope"`
	Layer   string   `json:"layer"`
	Change  string   `json:"change"`
	Text    string   `json:"text"`
}

func viewKnobs() []knobView {
	var all []knobView
	for _, k := range config.Knobs() {
		v := knobView{k.Name, []string{}, string(k.Kind), k.Default, k.Range(), string(k.Scope), k.Layer, string(k.Effect), k.Text}
		for _, a := range k.Aliases {
			v.Aliases = append(v.Aliases, a.Name)
		}
		all = append(all, v)
	}
	return all
}
