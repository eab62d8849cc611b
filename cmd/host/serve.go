package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) serveCommand() *cobra.Command {
	var f hostFlags
	cmd := p.command(&cobra.Command{
		Use:   "serve [-c FILE] [--adapter ADAPTER] [--workers N] [--cluster-listen HOST:PORT] [--join ADDR[,ADDR]]",
		Short: "Run a host until it's told to stop",
		Long: `Run a host until SIGTERM or Ctrl-C: with the pools of a configuration, or with one pool that --adapter names. It prints one line on stdout once every worker can take calls:

  ready node=local pid=4711 socket=/run/snakepit/1f2e3d4c/api.sock workers=2

With -o json that line is an object with event ("ready"), node, pid, socket, workers and data_dir. A node
of a cluster adds node_id and cluster_address, and one that found no majority of the others when it started
quorum=no (quorum false with -o json): it serves calls without a session, and the rest once there's a majority. Log lines go to stderr; the knob log_level says how many (--set log_level=debug).

The first signal lets running calls finish and stops the workers, and the exit code is 0. A second one
stops the workers at once, and the exit code is 1. SIGUSR2, or snakepit upgrade, lets a new process take
over, which prints a ready line of its own, and the exit code is 0. SIGHUP, or snakepit reload --config,
reads the configuration's file again.

A host that died leaves its workers for the knob orphan_grace: serve on the same data directory goes on
with them, and with what they hold in memory.

With --watch the workers are replaced, as by snakepit reload, when a Python file of the adapter, of its
package or of its folder has changed. New code that doesn't start leaves the old workers in service, and
says so on stderr.`,
		Example: `  snakepit serve -c snakepit.yaml
  snakepit serve --adapter tools.py
  snakepit serve --adapter tools.py:Digits --workers 4 --data-dir /var/lib/snakepit
  snakepit serve --adapter tools.py --cluster-listen 10.0.0.2:7070 --join 10.0.0.1:7070 --join-token TOKEN --tls-dir certs`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.serve(ctx, f) })
	addConfigFlag(cmd, &f.config)
	p.addAdapterFlags(cmd, &f.adapter, &f.workers)
	cmd.Flags().BoolVar(&f.watch, "watch", false, "reload when the adapter's files change")
	f.cluster.add(cmd)
	return cmd
}

// addAdapterFlags adds the flags of commands that start a host.
func (p *program) addAdapterFlags(cmd *cobra.Command, adapter *string, workers *int) {
	cmd.Flags().StringVar(adapter, "adapter", "", "the Python code that has the tools: `FILE.py[:CLASS]` or MODULE[:CLASS]")
	cmd.Flags().IntVar(workers, "workers", 0, "start `N` workers (default: the knob pool_size)")
	complete(cmd, "adapter", cobra.FixedCompletions([]string{"py"}, cobra.ShellCompDirectiveFilterFileExt))
	complete(cmd, "workers", cobra.NoFileCompletions)
}

func (p *program) serve(ctx context.Context, f hostFlags) error {
	f.config = p.configFile(f.config)
	l, c, err := p.newLaunch(f)
	if err != nil {
		return err
	}
	if len(c.Pools) == 0 {
		return usagef("say which Python code to serve: --adapter FILE.py, FILE.py:Class, MODULE or MODULE:Class, or -c FILE")
	}
	if p.opts.host != "" {
		return usagef("--host names a live host, but serve is one")
	}
	if l.DataDir, err = p.dataDirOf(c); err != nil {
		return err
	}
	reread := p.awaitHangup(f.config)
	l.Serve, l.Watch, l.Successor = true, f.watch, successor
	if l.Inherit, err = handed(); err != nil {
		return err
	}
	h, err := p.launch(ctx, l)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(p.stderr, "snakepit: stopped before it was ready")
		return nil
	}
	if err != nil {
		return err
	}
	err = p.serveUntilDone(ctx, h, reread)
	if cerr := h.Close(); err == nil {
		err = cerr // the same, where it ended by itself
	}
	return err
}

// newLaunch is what serve and call ask of a host of their own.
func (p *program) newLaunch(f hostFlags) (launch, *config.Config, error) {
	if f.workers < 0 {
		return launch{}, nil, usagef("--workers %d: want a positive number", f.workers)
	}
	c, err := p.configuration(f.config, f)
	if err != nil {
		return launch{}, nil, err
	}
	p.warn(c)
	return launch{
		File: f.config, Environ: p.environ(), Adapter: f.adapter, Workers: f.workers,
		Set:    slices.Concat(p.opts.set, f.cluster.pairs()),
		Logger: p.logger(c.LogLevel), Version: version(),
	}, c, nil
}

// warn tells what is odd about a configuration, where the log doesn't.
func (p *program) warn(c *config.Config) {
	if c.LogLevel != "error" || p.json() {
		return
	}
	for _, w := range c.Warnings {
		_ = printWarning(p.stderr, viewFault(config.Fault(w))) // nobody is left to tell
	}
}

// serveUntilDone says that the host is ready and drains it once ctx is done. The
// error is the host's, where it ended by itself.
func (p *program) serveUntilDone(ctx context.Context, h localHost, reread <-chan os.Signal) error {
	st, err := h.Status(ctx)
	if err == nil {
		err = printReady(p.stdout, h, st, p.json())
	}
	if err == nil {
		err = p.notifySystemd("READY=1", fmt.Sprintf("MAINPID=%d", st.PID))
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	err = p.await(ctx, h, reread)
	switch {
	case ctx.Err() != nil:
		return p.drain(ctx, h)
	case err == nil && h.Left():
		_, _ = fmt.Fprintln(p.stderr, "snakepit: this node has left its cluster")
		return nil
	case err == nil && h.Heir() == 0:
		return errdefs.New(errdefs.Internal, "the host ended by itself")
	case err == nil:
		return p.notifySystemd(fmt.Sprintf("MAINPID=%d", h.Heir()))
	}
	return err
}

// await waits until the host has ended or ctx is done, and meanwhile upgrades it, or
// has it read its configuration again, when asked to.
func (p *program) await(ctx context.Context, h localHost, reread <-chan os.Signal) error {
	waiting, done := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer done()
	wg.Go(func() {
		for {
			select {
			case <-p.renew:
				if _, err := h.Upgrade(waiting); err != nil {
					report(p.stderr, err, false)
				}
			case <-reread:
				p.reread(waiting, h)
			case <-waiting.Done():
				return
			}
		}
	})
	return h.Wait(ctx)
}

// drain lets the running calls end; the second signal cuts them off.
func (p *program) drain(ctx context.Context, h localHost) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-p.force:
			cancel()
		case <-ctx.Done():
		}
	})
	err := h.Shutdown(ctx)
	if ctx.Err() != nil {
		return errdefs.New(errdefs.Cancelled, "a second signal stopped the workers at once")
	}
	return err
}

func printReady(w io.Writer, h localHost, st hostStatus, asJSON bool) error {
	workers := 0
	for _, pool := range st.Pools {
		workers += pool.Ready
	}
	id, address := h.Membership()
	if asJSON {
		line := map[string]any{
			"event": "ready", "node": st.Node, "pid": st.PID, "socket": h.Socket(), "workers": workers, "data_dir": st.DataDir,
		}
		if id != "" {
			line["node_id"], line["cluster_address"], line["quorum"] = id, address, h.Quorum()
		}
		return json.NewEncoder(w).Encode(line)
	}
	_, err := fmt.Fprintf(w, "ready node=%s pid=%d socket=%s workers=%d", st.Node, st.PID, h.Socket(), workers)
	if err == nil && id != "" {
		_, err = fmt.Fprintf(w, " node_id=%s cluster_address=%s", id, address)
	}
	if err == nil && !h.Quorum() {
		_, err = fmt.Fprint(w, " quorum=no")
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
