package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/config"
)

// callFlags are the flags of call.
type callFlags struct {
	json    string
	stream  bool
	pool    string
	session string
	timeout time.Duration
	hostFlags

	caller   string
	priority priority
	affinity affinity

	availability availability
}

func (p *program) callCommand() *cobra.Command {
	var f callFlags
	cmd := p.command(&cobra.Command{
		Use:   "call TOOL [NAME=VALUE…] [--adapter FILE.py[:CLASS]]",
		Short: "Call a tool and print its result",
		Long: `Call a tool and print its result: on the live host, or with --adapter or -c on a host of its own that
ends with the call.

Arguments are read as the tool's schema says, so n=3 is an integer where the tool wants one, and text where
it wants text. Where several kinds are allowed the first that fits counts: null, true or false, a number, a
list or an object as JSON, text. Text that fits nothing goes on as it is, and the tool says what's wrong.

  name=value    as described; for bytes, the value's own
  name=@file    the content of a file; - is stdin
  name:=JSON    JSON, whatever the schema says: name:='"3"' is text; {"$datetime": "…"} and the like work
  --json J      all arguments as one JSON object, or @file, or - for stdin; name=value adds to it

A text result is printed as it is, anything else as JSON, and bytes as they are unless stdout is a terminal.
A tool that yields chunks gives a list of them, or with --stream one line of JSON for each as it comes. With
-o json text and bytes are JSON too. Progress goes to stderr: a bar in a terminal, else a line each second.
Ctrl-C cancels the call; the exit code is then 1. On a live host --set changes call_timeout and stream_timeout alone.

With -o json stderr has no lines of progress, and an error is an object there, {"error": {…}}, with
"reason", "class", "message" and "may_have_run", and where they apply "path", "hint", "retry_after"
(seconds), "where", "exception" and "exit".`,
		Example: `  snakepit call add a=1 b=2
  snakepit call --adapter tools.py:Digits predict pixels=@pixels.json top=3
  snakepit call train epochs=5 --stream --session user-1`,
		Args:              toolFirst,
		ValidArgsFunction: p.completeCall,
	}, func(ctx context.Context, args []string) error { return p.call(ctx, f, args[0], args[1:]) })
	p.addCallFlags(cmd, &f)
	return cmd
}

func toolFirst(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("say which tool to call; `snakepit tools` lists them")
	}
	return nil
}

func (p *program) addCallFlags(cmd *cobra.Command, f *callFlags) {
	flags := cmd.Flags()
	flags.StringVar(&f.json, "json", "", "the arguments as a JSON object: `J`, @file or -")
	flags.BoolVar(&f.stream, "stream", false, "print each chunk as it comes")
	flags.StringVar(&f.pool, "pool", "", "run it in pool `P` (default: the one that has the tool)")
	flags.StringVar(&f.session, "session", "", "run it in session `S`, opened where it isn't yet")
	flags.Var(&seconds{&f.timeout}, "timeout", "give up after `TIME`: 30s, 2m, or seconds (default: the knob call_timeout)")
	p.addOrderFlags(cmd, f)
	addConfigFlag(cmd, &f.config)
	flags.Lookup("config").Usage = "start a host of its own, with the configuration in `FILE`"
	p.addAdapterFlags(cmd, &f.adapter, &f.workers)
	flags.Lookup("workers").Usage = "with --adapter or -c: start `N` workers (default 1)"
	complete(cmd, "pool", p.completePool)
	for _, name := range []string{"json", "session", "timeout"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
}

func (p *program) call(ctx context.Context, f callFlags, tool string, words []string) (err error) {
	args, err := parseArguments(words)
	if err != nil {
		return err
	}
	if f.timeout == 0 {
		if f.timeout, err = p.timeout(f); err != nil {
			return err
		}
	}
	e, target, err := p.connect(ctx, f)
	if err != nil {
		return asCancelled(ctx, err)
	}
	defer func() {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}()
	return asCancelled(ctx, unreachable(p.callOn(ctx, e, f, tool, args), target))
}

// timeout is what --set and the environment give the call; zero: the host knows.
func (p *program) timeout(f callFlags) (time.Duration, error) {
	c, err := p.settings()
	switch {
	case err != nil:
		return 0, err
	case f.stream && sets(c, "stream_timeout") && c.StreamTimeout != config.Forever:
		return c.StreamTimeout, nil
	case sets(c, "call_timeout") && (!f.stream || !sets(c, "stream_timeout")):
		return c.CallTimeout, nil
	}
	return 0, nil
}

// ownDir is the data directory of a host that ends with its call: one that's named
// on the command line, else none.
func (p *program) ownDir(c *config.Config) (dir string, private bool, err error) {
	if p.opts.dataDir == "" && p.opts.instance == "" {
		return "", true, nil
	}
	dir, err = p.dataDirOf(c)
	return dir, false, err
}

// connect gives the host that the call runs on. The target is empty for one of its own.
func (p *program) connect(ctx context.Context, f callFlags) (engine, string, error) {
	if f.adapter == "" && f.config == "" {
		return p.connectLive(ctx, f)
	}
	l, c, err := p.newLaunch(f.hostFlags)
	if err != nil {
		return nil, "", err
	}
	if p.opts.host != "" {
		return nil, "", usagef("--host names a live host, and --adapter and -c start one: give one of them")
	}
	if !sets(c, "log_level") {
		l.Logger = nil // what goes wrong is the call's own error
	}
	if l.Workers == 0 && !c.Multi && !sets(c, "pool_size") {
		l.Workers = 1
	}
	if l.DataDir, l.Private, err = p.ownDir(c); err != nil {
		return nil, "", err
	}
	e, err := p.launch(ctx, l)
	return e, "", err
}

func (p *program) connectLive(ctx context.Context, f callFlags) (engine, string, error) {
	if f.workers != 0 {
		return nil, "", usagef("--workers goes with --adapter and -c")
	}
	target, err := p.target()
	if err != nil {
		return nil, "", err
	}
	e, err := p.reach(ctx, target)
	return e, target, unreachable(err, target)
}

// callOn runs the call and prints what it gives.
func (p *program) callOn(ctx context.Context, e engine, f callFlags, name string, words []argument) error {
	tools, err := e.Tools(ctx)
	if err != nil {
		return err
	}
	tool := chooseTool(tools, name, f.pool)
	args, err := buildArguments(f.json, words, newSchema(tool.InputSchema), &inputs{stdin: p.stdin})
	if err != nil {
		return err
	}
	out := &printer{out: p.stdout, err: p.stderr, progress: p.progressView(), json: p.json()}
	defer out.progress.end()
	inv := invocation{
		Tool: name, Pool: f.pool, Session: f.session, Args: args, Timeout: f.timeout, OnProgress: out.progress.show,
		Caller: f.caller, Priority: int(f.priority), Affinity: string(f.affinity), Availability: string(f.availability),
	}
	if f.stream {
		return asLate(printStream(ctx, e, inv, out), inv)
	}
	result, err := e.Call(ctx, inv)
	if err != nil {
		return asLate(err, inv)
	}
	return out.result(result)
}

// progressView shows progress, but not where a script reads JSON.
func (p *program) progressView() *progressView {
	if p.json() && !isTerminal(p.stderr) {
		return newProgressView(io.Discard)
	}
	return newProgressView(p.stderr)
}

func printStream(ctx context.Context, e engine, inv invocation, out *printer) error {
	for chunk, err := range e.Stream(ctx, inv) {
		if err != nil {
			return err
		}
		if err := out.chunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

// chooseTool finds what the host would run. A tool that isn't listed has no
// schema; the host says that it isn't there, and which one is.
func chooseTool(tools []snakepit.Tool, name, pool string) snakepit.Tool {
	for _, t := range tools {
		if t.Name == name && (pool == "" || t.Pool == pool) {
			return t
		}
	}
	return snakepit.Tool{Name: name}
}

// seconds is a flag that takes a duration, or a number of seconds.
type seconds struct{ value *time.Duration }

var _ pflag.Value = (*seconds)(nil)

func (s *seconds) Type() string { return "duration" }

func (s *seconds) String() string {
	if *s.value == 0 {
		return ""
	}
	return s.value.String()
}

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseFloat(text, 64); nerr == nil && n < maxSeconds {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d <= 0 {
		return errors.New("want a time above 0, like 30s, 2m or 1.5")
	}
	*s.value = d
	return nil
}

// maxSeconds is a hundred years, so that no duration overflows.
const maxSeconds = 100 * 365 * 24 * 3600
