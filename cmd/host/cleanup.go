package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) cleanupCommand() *cobra.Command {
	var dryRun bool
	cmd := p.command(&cobra.Command{
		Use:   "cleanup [--dry-run]",
		Short: "Sweep what a dead host left behind, and list it",
		Long: `Sweep what dead hosts left behind, and list what was found: processes that their workers started, run folders with
their sockets, rows of the ledger, and cgroups. With --dry-run only list it.

Without --data-dir that's the default data directory with its instances, and every run folder of this user:
those of calls that had a host of their own, and of other data directories. With --data-dir it's that
directory with its instances, and with --instance that instance alone.

A folder is live (a host has it), waiting (its host is dead, and its workers are kept for the next one for the
rest of orphan_grace) or abandoned. Only what is abandoned is touched. A process is ended only if it carries the token
of such a folder's worker, or is the very one that the ledger names; without --data-dir and --instance also if it's in the
cgroup of a guard that is gone. The next start on a data directory does the same by itself.

The exit code is 0, also when nothing was left behind, and 1 when something couldn't be ended or removed.

With -o json: an object with dry_run, cgroups, a list of objects with path and processes, and folders, a list of objects
with state, data_dir (empty: a private host's), run_dir (empty: it's gone), host_pid (0: none or unknown), note,
removed (paths), records (worker ids) and processes: a list of objects with pid, command, token (the last 8 digits) and
outcome: ended, would_end, kept or stuck.`,
		Example: `  snakepit cleanup --dry-run
  snakepit cleanup
  snakepit cleanup --data-dir /var/lib/snakepit --instance b -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error { return p.cleanup(ctx, dryRun) })
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be ended and removed")
	return cmd
}

func (p *program) cleanup(ctx context.Context, dryRun bool) error {
	if p.opts.host != "" {
		return usagef("--host names a live host, but cleanup is about dead ones")
	}
	if _, err := p.settings(); err != nil {
		return err
	}
	dir, err := p.dataDir()
	if err != nil {
		return err
	}
	base, err := p.baseDir()
	if err != nil {
		return err
	}
	r, err := p.sweep(ctx, embed.CleanupConfig{
		DataDir: base, Instance: p.opts.instance, DryRun: dryRun,
		RunFolders: p.opts.dataDir == "" && p.opts.instance == "",
	})
	if p.json() {
		err = errors.Join(err, printJSON(p.stdout, r))
	} else {
		err = errors.Join(err, printReport(p.stdout, r), p.noteMissing(dir))
	}
	if err != nil {
		return asCancelled(ctx, err)
	}
	return stuckError(r.Stuck())
}

// noteMissing says that a data directory which was named isn't there: it may be misspelt.
func (p *program) noteMissing(dir string) error {
	if _, err := os.Stat(dir); err == nil || p.opts.dataDir == "" && p.opts.instance == "" {
		return nil
	}
	_, err := fmt.Fprintf(p.stderr, "snakepit: there is no data directory %s\n", clean(dir))
	return err
}

func stuckError(stuck []embed.Process) error {
	if len(stuck) == 0 {
		return nil
	}
	var pids []string
	for _, x := range stuck {
		pids = append(pids, strconv.Itoa(x.PID))
	}
	e := errdefs.New(errdefs.Conflict, "%s couldn't be ended: %s", count(len(stuck), "process", "es"), strings.Join(pids, ", "))
	e.Hint = "see `ps -o pid,stat,user,wchan,args -p PID`: in state D the kernel holds it, and it ends when that is over; another user's needs that user, or root"
	return e
}

// printReport prints each folder with what was in it, and a line that sums it up.
func printReport(w io.Writer, r embed.Report) error {
	for _, f := range r.Folders {
		if err := printFolder(w, f, r.DryRun); err != nil {
			return err
		}
	}
	if len(r.Cgroups) > 0 {
		if err := printFolder(w, cgroupsAsFolder(r.Cgroups), r.DryRun); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, sweptText(r))
	return err
}

func cgroupsAsFolder(all []embed.Cgroup) embed.Folder {
	f := embed.Folder{State: "cgroups", Note: "their guard is gone"}
	for _, g := range all {
		f.Processes = append(f.Processes, g.Processes...)
		if !slices.ContainsFunc(g.Processes, func(x embed.Process) bool { return x.Outcome == embed.Stuck }) {
			f.Removed = append(f.Removed, g.Path)
		}
	}
	return f
}

func printFolder(w io.Writer, f embed.Folder, dryRun bool) error {
	if _, err := fmt.Fprintln(w, headline(f)); err != nil {
		return err
	}
	would := ""
	if dryRun {
		would = "would "
	}
	var rows [][]string
	for _, x := range f.Processes {
		rows = append(rows, []string{"  " + outcomeText(x.Outcome), "process " + strconv.Itoa(x.PID), workerText(x), clip(x.Command)})
	}
	inside := 0
	for _, path := range f.Removed {
		if path != f.RunDir && f.RunDir != "" && strings.HasPrefix(path, f.RunDir+string(filepath.Separator)) {
			inside++
			continue
		}
		note := ""
		if path == f.RunDir && inside > 0 {
			note = " with " + count(inside, "socket", "s")
		}
		rows = append(rows, []string{"  " + would + past("remove", dryRun), path + note})
	}
	for _, worker := range f.Records {
		rows = append(rows, []string{"  " + would + past("forget", dryRun), "record of worker " + worker})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func workerText(x embed.Process) string {
	if x.Token == "" {
		return "by its cgroup"
	}
	return "worker …" + x.Token
}

// headline is "abandoned: data directory D, run folder R: note".
func headline(f embed.Folder) string {
	parts := []string{}
	switch {
	case f.DataDir != "":
		parts = append(parts, "data directory "+f.DataDir)
	case f.RunDir != "":
		parts = append(parts, "a private host")
	}
	if f.RunDir != "" {
		parts = append(parts, "run folder "+f.RunDir)
	}
	if note := noteText(f); note != "" {
		parts = append(parts, note)
	}
	return clean(string(f.State) + ": " + strings.Join(parts, ", "))
}

func noteText(f embed.Folder) string {
	switch {
	case f.Note != "" || f.State != embed.Live:
		return f.Note
	case f.HostPID != 0:
		return "process " + strconv.Itoa(f.HostPID) + " has it"
	default:
		return "a host has it"
	}
}

func outcomeText(o embed.Outcome) string {
	switch o {
	case embed.WouldEnd:
		return "would end"
	case embed.Stuck:
		return "couldn't end"
	case embed.Ended, embed.Kept:
	}
	return string(o)
}

// sweptText is "ended 1 process, removed 3 paths, forgot 2 records".
func sweptText(r embed.Report) string {
	if !r.LeftBehind() {
		return "nothing was left behind"
	}
	removed, forgotten := len(r.Cgroups), 0
	ended := 0
	for _, f := range r.Folders {
		removed += len(f.Removed)
		forgotten += len(f.Records)
	}
	for _, x := range r.Processes() {
		if x.Outcome == embed.Ended || x.Outcome == embed.WouldEnd {
			ended++
		}
	}
	text := fmt.Sprintf("%s %s, %s %s, %s %s", past("end", r.DryRun), count(ended, "process", "es"),
		past("remove", r.DryRun), count(removed, "path", "s"), past("forget", r.DryRun), count(forgotten, "record", "s"))
	if r.DryRun {
		return "would " + text
	}
	return text
}

// past is a verb's past, and in a dry run the verb.
func past(verb string, dryRun bool) string {
	if dryRun {
		return verb
	}
	return map[string]string{"end": "ended", "remove": "removed", "forget": "forgot"}[verb]
}

// count is "1 process" or "2 processes".
func count(n int, noun, plural string) string {
	if n != 1 {
		noun += plural
	}
	return strconv.Itoa(n) + " " + noun
}
