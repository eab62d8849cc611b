package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit"
)

// completionTimeout bounds what a press of the tab key waits for the live host.
const completionTimeout = time.Second

func (p *program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	var root *cobra.Command
	cmd := p.command(&cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the shell's completion script",
		Long: `Print the completion script of a shell. It completes commands, flags, knobs, and the tools, arguments
and pools of the live host.

  bash: source <(snakepit completion bash)
  zsh:  snakepit completion zsh > "${fpath[1]}/_snakepit"
  fish: snakepit completion fish > ~/.config/fish/completions/snakepit.fish`,
		ValidArgs: shells,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}, func(_ context.Context, args []string) error {
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(p.stdout, true)
		case "zsh":
			return root.GenZshCompletion(p.stdout)
		case "fish":
			return root.GenFishCompletion(p.stdout, true)
		default:
			return fmt.Errorf("no completion for %s", args[0])
		}
	})
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { root = cmd.Root() }
	return cmd
}

// completeCall completes the tool's name, then the names of its arguments.
func (p *program) completeCall(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return p.completeTool(cmd, args, word)
	}
	if strings.Contains(word, "=") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []cobra.Completion
	for _, t := range toolsNamed(p.liveTools(cmd), args[0]) {
		s := newSchema(t.InputSchema)
		for _, name := range s.properties() {
			given := slices.ContainsFunc(args[1:], func(a string) bool { return strings.HasPrefix(a, name+"=") })
			if !given && strings.HasPrefix(name, word) {
				names = append(names, cobra.CompletionWithDesc(name+"=", s.property(name).describe(newWalk())))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeTool(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, t := range p.liveTools(cmd) {
		if strings.HasPrefix(t.Name, word) {
			names = append(names, cobra.CompletionWithDesc(t.Name, cell(summary(t.Description))))
		}
	}
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completePool(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	p.onLive(cmd, func(ctx context.Context, e engine) error {
		st, err := e.Status(ctx)
		for _, pool := range st.Pools {
			if strings.HasPrefix(pool.Name, word) {
				names = append(names, pool.Name)
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (p *program) completeWorker(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	p.onLive(cmd, func(ctx context.Context, e engine) error {
		list, err := e.Workers(ctx)
		for _, w := range list {
			if strings.HasPrefix(w.ID, word) {
				names = append(names, cobra.CompletionWithDesc(w.ID, cell(w.Pool+", "+w.State)))
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePoolName completes a pool as the command's only argument.
func (p *program) completePoolName(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.completePool(cmd, args, word)
}

func (p *program) liveTools(cmd *cobra.Command) (tools []snakepit.Tool) {
	p.onLive(cmd, func(ctx context.Context, e engine) (err error) {
		tools, err = e.Tools(ctx)
		return err
	})
	return tools
}

// onLive runs f on the live host, if there is one. Completion has no way to show
// an error; it then completes nothing.
func (p *program) onLive(cmd *cobra.Command, f func(ctx context.Context, e engine) error) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	_ = p.withHost(ctx, f)
}
