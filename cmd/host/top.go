package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// topOptions are the flags of `top`.
type topOptions struct {
	interval time.Duration
	count    int // zero: no end
	pool     string
	workers  bool
}

const (
	topLeast    = 100 * time.Millisecond
	topPatience = 5 * time.Second // with a host that doesn't answer
)

func (p *program) topCommand() *cobra.Command {
	o := topOptions{interval: time.Second}
	cmd := p.command(&cobra.Command{
		Use:   "top [--interval D] [--count N]",
		Short: "Watch the live host's pools and workers",
		Long: `Watch the live host's pools and workers, in the terminal. Rates and times are those of the last interval;
the curves are those of all pools together.

  q, Ctrl-C   quit
  p, w        show pools, or workers

Where stdout or stdin is no terminal, or TERM is dumb, it prints what it would show, once an interval, until Ctrl-C or
for --count times. With -o json: one object a line, with at, interval (seconds), node, state, and pools, a list of objects
with name, size, ready, busy, slots, queued, calls_per_second (that ended), errors_per_second, queue_p99, run_p50 and
run_p99 (seconds), and workers, a list of objects with id, pool, state, slots, busy, calls_per_second (that were started),
errors, session_count and rss_bytes.`,
		Example:           "  snakepit top\n  snakepit top --workers --pool default\n  snakepit top --count 1 -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withHost(ctx, func(ctx context.Context, e engine) error { return p.top(ctx, e, o) })
	})
	cmd.Flags().DurationVar(&o.interval, "interval", o.interval, "look every `D` (default 1s, at least 100ms)")
	cmd.Flags().IntVar(&o.count, "count", 0, "end after `N` looks (default: go on)")
	cmd.Flags().StringVar(&o.pool, "pool", "", "only pool `P`")
	cmd.Flags().BoolVar(&o.workers, "workers", false, "begin with the workers")
	complete(cmd, "pool", p.completePool)
	return cmd
}

func (p *program) top(ctx context.Context, e engine, o topOptions) error {
	o.interval = max(o.interval, topLeast)
	if o.pool != "" {
		if err := checkPool(ctx, e, o.pool); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	samples := make(chan sample)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looking.Go(func() { look(ctx, e, o, samples) })
	view := newTopView(o, asciiOnly(p.getenv))
	if t := p.terminal(); t != nil && !p.json() {
		return p.topOnScreen(ctx, t, view, o, samples)
	}
	return p.topInLines(ctx, view, o, samples)
}

// look asks the host once an interval, until ctx ends.
func look(ctx context.Context, e engine, o topOptions, to chan<- sample) {
	every := time.NewTicker(o.interval)
	defer every.Stop()
	for {
		select {
		case to <- ask(ctx, e, o.pool):
		case <-ctx.Done():
			return
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

func ask(ctx context.Context, e engine, pool string) sample {
	ctx, cancel := context.WithTimeout(ctx, topPatience)
	defer cancel()
	st, err := e.Status(ctx)
	if err != nil {
		return sample{err: err}
	}
	workers, err := e.Workers(ctx)
	return sample{at: time.Now(), status: st, workers: workers, err: err}.of(pool)
}

// topInLines prints what was seen, from the second look on: a rate takes two.
func (p *program) topInLines(ctx context.Context, v *topView, o topOptions, samples <-chan sample) error {
	for printed := 0; ; {
		select {
		case <-ctx.Done():
			return nil // that's how one leaves
		case s := <-samples:
			if s.err != nil {
				return quietly(ctx, s.err)
			}
			if v.add(s); v.before == nil {
				continue
			}
		}
		if err := p.printTop(v, printed); err != nil {
			return err
		}
		if printed++; printed == o.count {
			return nil
		}
	}
}

// quietly drops an error that comes of leaving.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // whoever leaves doesn't want the answer any more
	}
	return err
}

func (p *program) printTop(v *topView, printed int) error {
	if p.json() {
		return printJSONLine(p.stdout, v.report())
	}
	text := strings.Join(append(v.head(), v.table()...), "\n") + "\n"
	if printed > 0 {
		text = "\n" + text
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

// topOnScreen keeps the terminal's screen up to date. It gives the terminal back as
// it was, however it ends.
func (p *program) topOnScreen(ctx context.Context, t *terminal, v *topView, o topOptions, samples <-chan sample) (err error) {
	if err := t.take(); err != nil {
		return fmt.Errorf("the terminal can't be used: %w", err)
	}
	defer func() {
		if rerr := t.giveBack(); err == nil {
			err = rerr
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	var typing sync.WaitGroup
	defer typing.Wait()
	defer cancel()
	keys := make(chan byte)
	typing.Go(func() { t.read(ctx, keys) })
	for looks := 0; o.count == 0 || looks < o.count; {
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok || !v.press(key) {
				return nil
			}
		case <-t.resized:
		case s := <-samples:
			v.add(s)
			looks++
		}
		if err := t.draw(v.screen(t.size())); err != nil {
			return err
		}
	}
	return nil
}
