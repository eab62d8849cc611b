// Command cluster shows a failover: it starts three hosts on this machine as one
// cluster, fills baskets in sessions that they own, kills one of the hosts, and says
// when each basket could be filled further, and where.
//
//	make cluster
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	program string // snakepit
	python  string // the interpreter of an environment that has the SDK
	adapter string
	leader  bool // the node that leads is killed, not another one
}

// patience is how long anything here may take.
const patience = time.Minute

func main() {
	var o options
	flag.StringVar(&o.program, "program", "bin/snakepit", "the `program` whose hosts are started")
	flag.StringVar(&o.python, "python", ".venv/bin/python", "the `interpreter` that the workers run on")
	flag.StringVar(&o.adapter, "adapter", "examples/cluster/baskets.py", "the adapter's `file`")
	flag.BoolVar(&o.leader, "leader", false, "kill the node that leads")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "spc-") // short: sockets are below it
	if err != nil {
		return err
	}
	town := &town{options: o, dir: dir}
	defer func() { err = errors.Join(err, town.end(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	say(w, "Starting three hosts on this machine …\n\n")
	if err := town.begin(ctx); err != nil {
		return err
	}
	for _, n := range town.nodes {
		say(w, "  %s  %s  process %d\n", n.name, n.address, n.pid)
	}
	if err := town.describe(ctx, w); err != nil {
		return err
	}
	baskets, err := town.fill(ctx, w)
	if err != nil {
		return err
	}
	victim, err := town.choose(ctx, baskets)
	if err != nil {
		return err
	}
	if err := town.fail(ctx, w, victim, baskets); err != nil {
		return err
	}
	if err := town.describe(ctx, w); err != nil {
		return err
	}
	return verdict(w, baskets)
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
