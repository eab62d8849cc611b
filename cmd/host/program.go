package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/plugin/hardware"
)

// program is one run of the command line, with everything that it touches.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string
	hangups        func(chan<- os.Signal) // asks for SIGHUP
	force          <-chan struct{}        // closed by the second signal
	renew          <-chan struct{}        // gets SIGUSR2
	dial           func(ctx context.Context, target string) (engine, error)
	launch         func(ctx context.Context, l launch) (localHost, error)
	sweep          func(ctx context.Context, cfg embed.CleanupConfig) (embed.Report, error)
	detect         func(ctx context.Context) (hardware.Hardware, error)
	offline        offline // what is done to the data directory of a stopped host

	opts    options
	started bool // a command's own code has run, so the command line was right
}

// options are the flags of every command.
type options struct {
	dataDir  string
	instance string
	host     string
	set      []string
	output   string
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer) *program {
	return &program{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, environ: os.Environ, hangups: notifyHangup, dial: dialHost, launch: launchHost, sweep: embed.Cleanup, detect: hardware.New().Detect, offline: offlineHosts{}}
}

// run runs one command line and returns the exit code. When ctx is done a call is
// cancelled and a host drained.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()                          //nolint:contextcheck // the commands get ctx from ExecuteContextC
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would take the process's own
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !p.started {
		err = p.usage(cmd, err)
	}
	report(p.stderr, err, p.wantsJSON(args))
	return exitCode(err)
}

// usage marks an error that was found before a command began.
func (p *program) usage(cmd *cobra.Command, err error) error {
	var known *usageError
	if errors.As(err, &known) {
		return err
	}
	text := strings.TrimSpace(err.Error())
	if !strings.Contains(text, "--help") {
		text += "\nSee `" + cmd.CommandPath() + " --help`."
	}
	return &usageError{errors.New(text)}
}

// wantsJSON also looks at the words themselves: flags behind a wrong one were
// never read.
func (p *program) wantsJSON(args []string) bool {
	if p.opts.output != "" && p.started {
		return p.opts.output == outputJSON
	}
	for i, a := range args {
		if slices.Contains([]string{"-ojson", "-o=json", "--output=json"}, a) ||
			a == outputJSON && i > 0 && (args[i-1] == "-o" || args[i-1] == "--output") {
			return true
		}
	}
	return false
}

// The values of --output.
const (
	outputText = "text"
	outputJSON = "json"
)

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "snakepit",
		Short: "Run Python tools safely and fast",
		Long: `Snakepit runs Python tools in pools of worker processes.

Results go to stdout, everything else to stderr. The exit code is 0, 1 when the
command failed, or 2 when the command line was wrong.`,
		Example: `  snakepit call --adapter tools.py add a=1 b=2     one call, on a host of its own
  snakepit serve --adapter tools.py --workers 4    a host, until Ctrl-C
  snakepit call add a=1 b=2                        the same call, on that host`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetHelpFunc(printHelp)
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"})
	p.addGlobalFlags(root)
	root.AddCommand(p.callCommand(), p.serveCommand(), p.statusCommand(), p.poolsCommand(), p.workersCommand(),
		p.sessionsCommand(), p.topCommand(), p.logsCommand(), p.toolsCommand(),
		p.reloadCommand(), p.drainCommand(), p.killCommand(), p.upgradeCommand(), p.clusterCommand(), p.configCommand(), p.cleanupCommand(), p.hardwareCommand(),
		p.versionCommand(), p.completionCommand())
	return root
}

func (p *program) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&p.opts.dataDir, "data-dir", "", "the host's state is in `DIR` (default $XDG_STATE_HOME/snakepit, else ~/.local/state/snakepit)")
	flags.Var(&instanceName{&p.opts.instance}, "instance", "one of several hosts beside each other: its state is in DIR/instances/`NAME`")
	flags.StringVar(&p.opts.host, "host", "", "talk to the live host at `ADDR[,ADDR]`: a socket's path or HOST:PORT, or several of a cluster (default: the data directory's)")
	flags.StringArrayVar(&p.opts.set, "set", nil, "set a knob, as `KNOB=VALUE`; may be given again")
	p.opts.output = outputText
	flags.VarP(&choice{&p.opts.output, []string{outputText, outputJSON}}, "output", "o", "print `text|json` (default text)")
	complete(root, "output", cobra.FixedCompletions([]string{outputText, outputJSON}, cobra.ShellCompDirectiveNoFileComp))
	complete(root, "data-dir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	complete(root, "instance", p.completeInstance)
	complete(root, "set", completeKnob)
}

// command makes a subcommand of its parts. The error of its code is a failure,
// whatever came before it is wrong usage.
func (p *program) command(cmd *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.Flags().SortFlags = false
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.started = true
		return run(cmd.Context(), args)
	}
	return cmd
}

// complete gives a flag its completion. It can't fail: the flag is there and has none.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, f)
}

// choice is a flag with a list of allowed values.
type choice struct {
	value   *string
	allowed []string
}

var _ pflag.Value = (*choice)(nil)

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.allowed, "|") }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.allowed, text) {
		return errors.New("want " + strings.Join(c.allowed, " or "))
	}
	*c.value = text
	return nil
}
