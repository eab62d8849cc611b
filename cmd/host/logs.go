package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/host/nearest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	logSuffix = ".log"
	logEvery  = 250 * time.Millisecond
)

func (p *program) logsCommand() *cobra.Command {
	l := &logReader{}
	cmd := p.command(&cobra.Command{
		Use:   "logs [WORKER] [-f] [-n N]",
		Short: "Show what workers wrote to their standard error",
		Long: `Show what workers of the data directory's host wrote to their standard error, also those that are dead: of one,
or of all, with the worker in front of each line. "shim" stands for the host's guard and shim.

It reads the files in logs/ in the data directory, so it needs no host that lives. Of each worker they hold the last
4 MiB or more.

With -o json: an object a line, with worker and line.`,
		Example:           "  snakepit logs\n  snakepit logs -f\n  snakepit logs default-1f2e3d4c-1 -n 0 | less",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeLog,
	}, func(ctx context.Context, args []string) error {
		dir, err := p.dataDir()
		if err != nil {
			return err
		}
		return p.logs(ctx, embed.LogDir(dir), args, *l)
	})
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on with what comes, until Ctrl-C")
	cmd.Flags().IntVarP(&l.lines, "lines", "n", 40, "begin with the last `N` lines of each (default 40); 0: with all there are")
	return cmd
}

// logReader says what to show of each log.
type logReader struct {
	follow bool
	lines  int // 0: all
	show   func(worker string, line []byte) error
}

func (p *program) logs(ctx context.Context, dir string, workers []string, l logReader) error {
	l.show = p.logPrinter(len(workers) == 0)
	if len(workers) > 0 {
		if err := checkLog(dir, workers[0]); err != nil {
			return err
		}
	}
	return l.run(ctx, func() []string {
		if len(workers) > 0 {
			return []string{filepath.Join(dir, workers[0]+logSuffix)}
		}
		return logFiles(dir)
	})
}

// logPrinter prints lines as they are, except on a terminal, which they mustn't drive.
func (p *program) logPrinter(prefixed bool) func(worker string, line []byte) error {
	onTerminal := isTerminal(p.stdout)
	return func(worker string, line []byte) error {
		text := string(line)
		if p.json() {
			return printJSONLine(p.stdout, map[string]string{"worker": worker, "line": text})
		}
		if onTerminal {
			text = cell(text)
		}
		if prefixed {
			text = worker + " | " + text
		}
		_, err := io.WriteString(p.stdout, text+"\n")
		return err
	}
}

// checkLog fails with worker_not_found where a worker has no log.
func checkLog(dir, worker string) error {
	names := logNames(dir)
	if slices.Contains(names, worker) {
		return nil
	}
	missing := errdefs.New(errdefs.WorkerNotFound, "worker %q has no log in %s", clip(worker), dir)
	missing.Hint = nearest.Hint(worker, slices.Values(names))
	return missing
}

// logFiles are the logs that there are, those that are written to the latest last.
func logFiles(dir string) []string {
	written := map[string]time.Time{}
	for _, name := range logNames(dir) {
		path := filepath.Join(dir, name+logSuffix)
		if st, err := os.Stat(path); err == nil {
			written[path] = st.ModTime()
		}
	}
	return slices.SortedFunc(maps.Keys(written), func(a, b string) int {
		if c := written[a].Compare(written[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
}

func logNames(dir string) []string {
	entries, _ := os.ReadDir(dir) // no folder, no logs
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), logSuffix); ok && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names
}

func (p *program) completeLog(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if dir, err := p.dataDir(); err == nil && len(args) == 0 {
		for _, name := range logNames(embed.LogDir(dir)) {
			if strings.HasPrefix(name, word) {
				names = append(names, name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// run shows the logs that list names, and goes on with them, and with new ones, where
// that's wanted.
func (l logReader) run(ctx context.Context, list func() []string) error {
	open := map[string]*openLog{}
	defer func() {
		for _, o := range open {
			o.close()
		}
	}()
	every := time.NewTicker(logEvery)
	defer every.Stop()
	for first := true; ; first = false {
		if err := l.look(open, list(), first); err != nil {
			return err
		}
		if !l.follow {
			return flushLogs(open, l.show)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil // that's how one leaves
		}
	}
}

// look shows what is new: in the logs that are open, one of which may just have been
// put aside, and then in the others.
func (l logReader) look(open map[string]*openLog, paths []string, first bool) error {
	for _, path := range slices.Sorted(maps.Keys(open)) {
		if err := open[path].rest(l.show); err != nil {
			return err
		}
	}
	for _, path := range paths {
		if open[path] != nil {
			continue
		}
		open[path] = &openLog{path: path, worker: strings.TrimSuffix(filepath.Base(path), logSuffix)}
		if err := l.begin(open[path], first); err != nil {
			return err
		}
	}
	return nil
}

// begin shows the end of what is there already; of a log that came later, all is new.
func (l logReader) begin(o *openLog, first bool) error {
	var last [][]byte
	keep := func(_ string, line []byte) error {
		if last = append(last, bytes.Clone(line)); l.lines > 0 && first && len(last) > l.lines {
			last = last[1:]
		}
		return nil
	}
	if err := errors.Join(o.earlier(keep), o.rest(keep)); err != nil {
		return err
	}
	for _, line := range last {
		if err := l.show(o.worker, line); err != nil {
			return err
		}
	}
	return nil
}

func flushLogs(open map[string]*openLog, show func(string, []byte) error) error {
	for _, path := range slices.Sorted(maps.Keys(open)) {
		if err := open[path].flush(show); err != nil {
			return err
		}
	}
	return nil
}

// openLog is a log that is read line by line, across its rotations.
type openLog struct {
	path, worker string

	file    *os.File // nil: not there yet
	reader  *bufio.Reader
	partial []byte // a line whose end hasn't been written
}

// maxLogLine bounds a line without an end.
const maxLogLine = 1 << 20

// rest reads all that's there. A file that was put aside is read to its end before
// its successor.
func (o *openLog) rest(show func(string, []byte) error) error {
	for {
		if o.file == nil && !o.open() {
			return nil
		}
		moved := o.moved() // before the read: what comes later is in the next file
		if err := o.lines(show); err != nil {
			return err
		}
		if !moved {
			return nil
		}
		o.close()
	}
}

// earlier reads the file before this one. This one is opened first: if it's put aside
// meanwhile, it's the file before.
func (o *openLog) earlier(show func(string, []byte) error) error {
	old := &openLog{path: o.path + ".1", worker: o.worker}
	defer old.close()
	if !o.open() || !old.open() || sameFile(o.file, old.file) {
		return nil
	}
	return errors.Join(old.lines(show), old.flush(show))
}

func sameFile(a, b *os.File) bool {
	x, err := a.Stat()
	y, yerr := b.Stat()
	return err == nil && yerr == nil && os.SameFile(x, y)
}

func (o *openLog) open() bool {
	f, err := os.Open(o.path)
	if err != nil {
		return false // removed, or between two names
	}
	o.file, o.reader = f, bufio.NewReader(f)
	return true
}

func (o *openLog) moved() bool {
	here, err := o.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(o.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(here, there)
}

func (o *openLog) lines(show func(string, []byte) error) error {
	for {
		part, err := o.reader.ReadSlice('\n')
		o.partial = append(o.partial, part...)
		if bytes.HasSuffix(part, []byte("\n")) || len(o.partial) >= maxLogLine {
			if err := o.flush(show); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// flush gives a line, whether its end has come or not.
func (o *openLog) flush(show func(string, []byte) error) error {
	if len(o.partial) == 0 {
		return nil
	}
	line := bytes.TrimSuffix(o.partial, []byte("\n"))
	err := show(o.worker, line)
	o.partial = o.partial[:0]
	return err
}

func (o *openLog) close() {
	if o.file != nil {
		_ = o.file.Close() // it was only read
		o.file = nil
	}
}
