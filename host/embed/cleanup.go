package embed

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// CleanupConfig says where to look.
type CleanupConfig struct {
	// DataDir is a data directory; empty: none. One that doesn't exist has nothing.
	DataDir string
	// Instance is one of its instances; empty: the directory itself and all of them.
	Instance string
	// RunFolders looks at every run folder of this user too: those of private hosts,
	// and of other data directories.
	RunFolders bool
	// DryRun only looks.
	DryRun bool
}

// Cleanup sweeps what dead hosts have left behind: processes that carry a worker's
// token or that the ledger names, run folders with their sockets, rows of the ledger,
// cgroups. Folders that a host has, or whose workers wait for the next one, stay as
// they are. It holds each data directory's lock meanwhile: a host that wants it waits.
//
// It blocks until what it ends is gone, for a second each process; ctx is looked at
// between folders. The report has what was found, on an error too. Processes that
// couldn't be ended are [Report.Stuck] and no error; what belongs to them stays for
// the next Cleanup.
func Cleanup(ctx context.Context, cfg CleanupConfig) (Report, error) {
	c := &cleanup{
		dryRun: cfg.DryRun, seen: map[string]bool{},
		report: Report{DryRun: cfg.DryRun, Folders: []Folder{}, Cgroups: []Cgroup{}},
	}
	dirs, err := cfg.dataDirs()
	if err != nil {
		return c.report, err
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, c.dataDir(ctx, dir))
	}
	if cfg.RunFolders {
		for _, base := range uniq(runBaseOf(""), runBaseOf(cfg.DataDir)) {
			errs = append(errs, c.runFolders(ctx, base))
		}
	}
	if ctx.Err() == nil {
		c.cgroups(cfg.RunFolders)
	}
	return c.report, errors.Join(errs...)
}

// cgroups looks at those whose guard is gone. What is still in one is found by that alone, so
// it's left alone unless every folder was looked at.
func (c *cleanup) cgroups(all bool) {
	for _, g := range shim.StaleCgroups() {
		known := c.known()
		g.Strays = slices.DeleteFunc(g.Strays, func(s shim.Stray) bool { return known[s.PID] })
		if !all && len(g.Strays) > 0 {
			continue
		}
		if gone := c.dryRun || g.Sweep(); !gone && len(g.Strays) == 0 {
			continue // somebody has just come into it
		}
		found := Cgroup{Path: g.Path, Processes: []Process{}}
		for _, s := range g.Strays {
			found.Processes = append(found.Processes, Process{PID: s.PID, Command: s.Command, Outcome: outcomeOf(c.dryRun, s.Alive)})
		}
		c.report.Cgroups = append(c.report.Cgroups, found)
	}
}

// known are the processes that were found already.
func (c *cleanup) known() map[int]bool {
	pids := map[int]bool{}
	for _, f := range c.report.Folders {
		for _, p := range f.Processes {
			pids[p.PID] = true
		}
	}
	return pids
}

// dataDirs are those to look at; they may not be there.
func (cfg *CleanupConfig) dataDirs() (dirs []string, err error) {
	if cfg.DataDir, err = absolute(cfg.DataDir); err != nil {
		return nil, err
	}
	dir, err := InstanceDir(cfg.DataDir, cfg.Instance)
	switch {
	case err != nil || dir == "":
		return nil, err
	case cfg.Instance != "":
		return []string{dir}, nil
	}
	dirs = []string{dir}
	for _, name := range Instances(dir) {
		dirs = append(dirs, filepath.Join(dir, instancesFolder, name))
	}
	return dirs, nil
}

func uniq(list ...string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// cleanup is one Cleanup under way.
type cleanup struct {
	dryRun bool
	seen   map[string]bool // run folders
	report Report
}

// dataDir looks at a data directory and its run folder.
func (c *cleanup) dataDir(ctx context.Context, data string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run := runFolderOf(data)
	c.seen[run] = true
	f := Folder{State: Live, DataDir: data, RunDir: ifThere(run), HostPID: holderOf(data)}
	held, err := holdData(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // no host ever had it
	case errors.Is(err, errHeld):
		if c.add(f); strings.HasSuffix(word(data, lockFile), cleanupMark) {
			c.report.Folders[len(c.report.Folders)-1].Note = "another cleanup has it"
		}
		return nil
	case err != nil:
		return dirError(data, err)
	}
	defer func() { _ = held.release() }() // nothing in it counts
	f.HostPID = holderOf(run)
	return c.runFolder(f, run)
}

// runFolderOf is where a data directory's run folder is, or was.
func runFolderOf(data string) string { return filepath.Join(runBaseOf(data), runName(data)) }

func ifThere(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

var errHeld = errors.New("somebody has it")

// holdData locks a data directory against hosts.
func holdData(data string) (*claimed, error) {
	f, err := os.OpenFile(filepath.Join(data, lockFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if lock(f) != nil {
		_ = f.Close() // only looked at
		return nil, errHeld
	}
	c := &claimed{f}
	if err := writePID(f, cleanupMark); err != nil {
		return nil, errors.Join(err, c.release())
	}
	return c, nil
}

// runFolders looks at every run folder that belongs to none of the data directories
// so far.
func (c *cleanup) runFolders(ctx context.Context, base string) error {
	if ifThere(base) == "" {
		return nil
	}
	if err := checkPrivate(base); err != nil {
		return err
	}
	var errs []error
	for _, run := range runFolders(base) {
		if c.seen[run] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		data := ownerOf(run)
		if data != "" && runFolderOf(data) == run && ifThere(filepath.Join(data, lockFile)) != "" {
			errs = append(errs, c.dataDir(ctx, data))
			continue
		}
		errs = append(errs, c.runFolder(Folder{DataDir: data, RunDir: run, HostPID: holderOf(run)}, run))
	}
	return errors.Join(errs...)
}

// runFolder looks at a run folder, whose data directory is held, if there is one.
func (c *cleanup) runFolder(f Folder, run string) error {
	held, state := claim(run)
	if state == "" && f.RunDir == run && f.DataDir == "" {
		return nil // it isn't a run folder, or has just gone
	}
	f.State = state
	switch state {
	case Live:
		c.add(f)
		return nil
	case Waiting:
		f.HostPID = 0
		f.Note = "its host is dead; guard and shim keep its workers for the rest of orphan_grace"
		f.add(plugin.Kept(instanceOf(run)), Kept)
		c.add(f)
		return nil
	case Abandoned, "": // the latter: there is none any more
		f.State, f.HostPID = Abandoned, 0
	}
	defer func() { _ = held.release() }() // it may be gone with its folder
	r := findRemains(&f, run)
	if r.hasHost {
		f.State = Live
		c.add(f)
		return nil
	}
	err := c.sweep(&f, r)
	c.add(f)
	return err
}

// add reports a folder, unless there's nothing to tell.
func (c *cleanup) add(f Folder) {
	if f.nothing() {
		return
	}
	f.Processes, f.Removed, f.Records = filled(f.Processes), filled(f.Removed), filled(f.Records)
	c.report.Folders = append(c.report.Folders, f)
}

// filled makes a list that JSON shows as [] where it's empty.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// sweep ends the processes of an abandoned folder, then removes the rest of it.
func (c *cleanup) sweep(f *Folder, r remains) error {
	outcome := Ended
	if c.dryRun {
		outcome = WouldEnd
	}
	for _, instance := range r.instances {
		f.add(plugin.Sweep(instance, nil, c.dryRun), outcome)
		f.add(plugin.SweepRecorded(instance, r.records, c.dryRun), outcome)
	}
	if f.stuck() {
		f.Note = "it stays until its processes have ended"
		return nil
	}
	f.Removed = r.paths()
	for _, rec := range r.records {
		f.Records = append(f.Records, string(rec.Worker))
	}
	if c.dryRun {
		return nil
	}
	return r.remove()
}
