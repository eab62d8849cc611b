package embed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// remains is what a dead host has left, but for its processes.
type remains struct {
	run       string   // the run folder; empty: gone
	data      string   // empty: a private host's
	instances []string // whose workers its processes are
	records   []ledger.Record
	hasHost   bool // the ledger is open in one
}

func findRemains(f *Folder, run string) remains {
	r := remains{run: ifThere(run), data: ifThere(f.DataDir)}
	if r.run == "" && r.data == "" {
		return r
	}
	records, err := ledger.Read(r.ledger())
	switch {
	case errdefs.ReasonOf(err) == errdefs.Conflict:
		r.hasHost = true
	case err != nil: // the next start sets it aside; the processes are found by their tokens
		f.Note = "its ledger can't be read: " + err.Error()
	}
	r.records = records
	names := []string{instanceOf(run)}
	if name, err := instanceOfData(r.data); err == nil && r.data != "" {
		names = append(names, name)
	}
	for _, name := range uniq(names...) {
		if name != "" {
			r.instances = append(r.instances, name)
		}
	}
	return r
}

func (r remains) ledger() string {
	if r.data == "" {
		return filepath.Join(r.run, ledgerFile)
	}
	return filepath.Join(r.data, ledgerFile)
}

// paths are the sockets, folders and files that go.
func (r remains) paths() []string {
	var all []string
	if r.run != "" {
		_ = filepath.WalkDir(r.run, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type() == fs.ModeSocket {
				all = append(all, path)
			}
			return nil // what can't be read is removed all the same, or says so then
		})
		all = append(all, r.run)
	}
	if r.data != "" && ifThere(filepath.Join(r.data, recordFile)) != "" {
		all = append(all, filepath.Join(r.data, recordFile))
	}
	return all
}

func (r remains) remove() error {
	var errs []error
	if r.run != "" {
		errs = append(errs, os.RemoveAll(r.run))
	}
	if r.data == "" {
		return errors.Join(errs...)
	}
	errs = append(errs, ignoreMissing(os.Remove(filepath.Join(r.data, recordFile))))
	return errors.Join(append(errs, r.forget())...)
}

// forget erases the rows of the ledger.
func (r remains) forget() error {
	if len(r.records) == 0 {
		return nil
	}
	l, err := ledger.Open(r.ledger(), ledger.Options{})
	if err != nil {
		return err
	}
	var errs []error
	for _, rec := range r.records {
		errs = append(errs, l.Erase(rec.Worker))
	}
	return errors.Join(append(errs, l.Close())...)
}

// add notes processes. Those that live on after they should have ended are stuck.
func (f *Folder) add(orphans []plugin.Orphan, outcome Outcome) {
	for _, o := range orphans {
		p := Process{PID: o.PID, Command: o.Command, Token: o.Token[max(0, len(o.Token)-8):], Outcome: outcome}
		if outcome == Ended && o.Alive {
			p.Outcome = Stuck
		}
		f.Processes = append(f.Processes, p)
	}
}

func (f *Folder) stuck() bool {
	for _, p := range f.Processes {
		if p.Outcome == Stuck {
			return true
		}
	}
	return false
}
