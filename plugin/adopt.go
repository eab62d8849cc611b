package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Estate is what another host of this machine and user has left.
type Estate struct {
	Dir      string // its run folder: its launcher's Config.Dir
	Instance string // what its workers' tokens begin with
}

// Adopt takes over the workers of another host that is dead, and whose own shim still
// keeps them: those for which keep says yes and that can be gone on with are
// survivors then, as [Launcher.Survivors] has them, and are returned. All others are
// ended first: only when they are gone does what was frozen go on, under this host's
// lease. From then on the dead host's shim is one of ours, and ends with this host: a later
// one of this instance doesn't find it.
//
// It blocks until all that is done, which ctx bounds but for the ending. It may be called
// while the launcher runs. With no workers there, or off Linux, it returns none. An error
// means that nothing was adopted: exists, when that host lives or another one has
// taken over from it; worker_not_found, when its shim ends meanwhile.
func (l *Launcher) Adopt(ctx context.Context, e Estate, keep func(host.WorkerID) bool) ([]host.Survivor, error) {
	if e.Instance == "" || e.Instance == l.cfg.Instance {
		return nil, errdefs.New(errdefs.InvalidConfig, "the estate of instance %q isn't another host's", e.Instance)
	}
	left, err := l.nursery.inherit(ctx, e)
	if err != nil {
		return nil, err
	}
	a := &adoption{l: l, estate: e, kept: map[host.WorkerID]*survivor{}}
	if err := a.take(ctx, left, keep); err != nil {
		a.undo(left)
		return nil, err
	}
	return a.finish(), nil
}

// adoption is one Adopt under way.
type adoption struct {
	l      *Launcher
	estate Estate

	kept     map[host.WorkerID]*survivor
	recorded []host.WorkerID // of kept
}

func (a *adoption) take(ctx context.Context, left []legacy, keep func(host.WorkerID) bool) error {
	wanted := a.sort(left, keep)
	if err := a.record(); err != nil {
		return err // none that isn't recorded
	}
	for i, from := range left {
		if !wanted[i] {
			from.end()
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := from.keep(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sort ends whoever isn't to be kept, and says of which keepers somebody is.
func (a *adoption) sort(left []legacy, keep func(host.WorkerID) bool) []bool {
	var ending sync.WaitGroup
	defer ending.Wait()
	wanted := make([]bool, len(left))
	for i, from := range left {
		for _, f := range from.found {
			if a.wants(f, keep) {
				a.kept[f.rec.Worker] = &survivor{rec: f.rec, frozen: f.frozen, adopt: f.adopt, incarnation: f.incarnation, foreign: true}
				wanted[i] = true
				continue
			}
			ending.Go(func() {
				f.end()
				a.clear(f.rec)
			})
		}
	}
	return wanted
}

func (a *adoption) wants(f found, keep func(host.WorkerID) bool) bool {
	id := f.rec.Worker
	if isForkserver(id) {
		return false // each host has its own
	}
	if why := a.unusable(f); why != "" {
		a.l.log(id).Warn("a worker of another host that is dead is ended", "why", why, "pid", f.id.PID)
		return false
	}
	return keep(id)
}

// unusable says why a process can't be gone on with; empty: it can.
func (a *adoption) unusable(f found) string {
	switch {
	case !isTokenOf(f.rec.Token, a.estate.Instance):
		return "its token isn't that host's"
	case a.kept[f.rec.Worker] != nil:
		return "another one has the same id"
	}
	if why := unusable(f.rec, f.id); why != "" {
		return why
	}
	switch {
	case f.incarnation == 0:
		return "its host didn't say as which incarnation it's attached"
	case !a.owns(f.rec.Dir):
		return "its folder isn't in that host's"
	}
	return ""
}

// owns tells the folder of a worker from any other that a note may name.
func (a *adoption) owns(dir string) bool {
	return filepath.Dir(dir) == filepath.Clean(a.estate.Dir) && isWorkerDir(filepath.Base(dir))
}

// record writes down what is kept, all at once: the ledger syncs for all together.
func (a *adoption) record() error {
	var mu sync.Mutex // guards errs and recorded
	var errs []error
	var writing sync.WaitGroup
	for id, s := range a.kept {
		a.l.gpus.keep(id, s.rec.Devices)
		writing.Go(func() {
			err := a.l.records.enter(s.rec)
			mu.Lock()
			defer mu.Unlock()
			if errdefs.ReasonOf(err) != errdefs.Exists { // else the row is another worker's
				a.recorded = append(a.recorded, id)
			}
			errs = append(errs, err)
		})
	}
	writing.Wait()
	return errors.Join(errs...)
}

// finish makes survivors of what is kept.
func (a *adoption) finish() []host.Survivor {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	var out []host.Survivor
	for id, s := range a.kept {
		a.l.survivors[id] = s
		out = append(out, s.survivor(id))
	}
	slices.SortFunc(out, func(x, y host.Survivor) int { return strings.Compare(string(x.Worker), string(y.Worker)) })
	return out
}

// undo leaves nothing of what was begun.
func (a *adoption) undo(left []legacy) {
	var ending sync.WaitGroup
	for _, from := range left {
		ending.Go(from.end)
	}
	ending.Wait()
	for id, s := range a.kept {
		a.l.gpus.give(id)
		a.clear(s.rec)
	}
	for _, id := range a.recorded {
		if err := a.l.records.erase(id); err != nil {
			a.l.log(id).Warn("the worker's record stays in the ledger", "err", err)
		}
	}
}

// clear removes the folder of a worker that is gone.
func (a *adoption) clear(rec ledger.Record) {
	if a.owns(rec.Dir) {
		_ = os.RemoveAll(rec.Dir) // sockets of a dead process
	}
}

// isForeign tells a record of a worker that was adopted.
func (l *Launcher) isForeign(rec ledger.Record) bool {
	return rec.Err == nil && rec.Token != "" && !isTokenOf(rec.Token, l.cfg.Instance)
}

// forsakeForeign ends the survivors that were adopted and that nobody has asked for: their
// shim ends with us.
func (l *Launcher) forsakeForeign() {
	for _, s := range l.Survivors() {
		l.mu.Lock()
		sv := l.survivors[s.Worker]
		l.mu.Unlock()
		if sv != nil && sv.foreign {
			l.Forsake(s.Worker)
		}
	}
}

// tidyForeign ends what is left of workers that the last host had adopted. What a live
// shim keeps isn't touched: their own host may have come back to them, or another has.
func (l *Launcher) tidyForeign(dead []ledger.Record) error {
	tokens := map[string]ledger.Record{}
	for _, rec := range dead {
		tokens[rec.Token] = rec
	}
	if len(tokens) == 0 {
		return nil
	}
	ours := func(token string) bool { return tokens[token].Token != "" }
	for _, o := range sweep(ours, false) {
		l.log(tokens[o.Token].Worker).Warn("a process that a dead host left behind was ended", "pid", o.PID, "command", o.Command)
	}
	for _, o := range look(ours, true) {
		delete(tokens, o.Token)
	}
	var errs []error
	for _, rec := range tokens {
		if isWorkerDir(filepath.Base(rec.Dir)) {
			errs = append(errs, os.RemoveAll(rec.Dir))
		}
	}
	return errors.Join(errs...)
}
