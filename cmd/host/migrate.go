package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) configMigrateCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "migrate FILE.exs",
		Short: "Translate the Elixir project's settings",
		Long: `Translate the settings of the Elixir project, from config.exs or the like (- is stdin), and print a
configuration.

Keyword lists, maps, lists, tuples, atoms, strings, numbers and System.get_env with a default are read, where
` + "`config :snakepit, …`" + ` sets them in every case. Nothing is evaluated and nothing guessed: whatever else stands
there is told on stderr with its line, and left out; the exit code is then 1. What has no counterpart is a comment
in the result, which says what there is instead.

With -o json: an object with yaml and problems, a list of objects with line and message.`,
		Example: `  snakepit config migrate config/config.exs > snakepit.yaml
  snakepit config check snakepit.yaml`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"exs"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}, func(_ context.Context, args []string) error { return p.configMigrate(args[0]) })
}

// problemView is something that couldn't be translated.
type problemView struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

func (p *program) configMigrate(file string) error {
	in := &inputs{stdin: io.LimitReader(p.stdin, config.MaxScript+1)}
	script, err := in.read(file)
	if err != nil {
		return err
	}
	m := config.Migrate(file, script)
	if p.json() {
		problems := []problemView{}
		for _, x := range m.Problems {
			problems = append(problems, problemView{x.Line, x.Text})
		}
		err = printJSON(p.stdout, map[string]any{"yaml": m.YAML, "problems": problems})
	} else {
		_, err = io.WriteString(p.stdout, clean(m.YAML))
	}
	if err != nil || len(m.Problems) == 0 {
		return err
	}
	if !p.json() {
		for _, x := range m.Problems {
			if _, err := fmt.Fprintf(p.stderr, "%s:%d: %s\n", clean(file), x.Line, clean(x.Text)); err != nil {
				return err
			}
		}
	}
	return errdefs.New(errdefs.InvalidConfig, "%s couldn't be translated: see to them by hand", count(len(m.Problems), "setting", "s"))
}
