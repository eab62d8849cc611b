package hosttest

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

var (
	_ host.Reattacher = (*Launcher)(nil)
	_ host.Leaver     = (*Worker)(nil)
)

// Inherit makes the workers that another launcher's host has left the survivors of
// this one. It's called before the host runs.
func (l *Launcher) Inherit(last *Launcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.survivors = map[host.WorkerID]*Worker{}
	for _, w := range last.Left() {
		l.survivors[w.Spec.Worker] = w
	}
}

// Left gives the workers that were left to another host.
func (l *Launcher) Left() []*Worker {
	return slices.DeleteFunc(l.Workers(), func(w *Worker) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.left
	})
}

// Survivors implements host.Reattacher.
func (l *Launcher) Survivors() (all []host.Survivor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.survivors)) {
		all = append(all, host.Survivor{Worker: id, Pool: l.survivors[id].Spec.Pool})
	}
	return all
}

// Reattach implements host.Reattacher. The worker's pid tells that it's the same one.
func (l *Launcher) Reattach(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	before := l.takeSurvivor(spec.Worker)
	if before == nil {
		return nil, errdefs.New(errdefs.WorkerNotFound, "no worker %s was left", spec.Worker)
	}
	if !reflect.DeepEqual(before.Spec.Command, spec.Command) {
		return nil, errdefs.New(errdefs.StartFailed, "another command started worker %s", spec.Worker)
	}
	if l.OnReattach != nil {
		if err := l.OnReattach(ctx, spec); err != nil {
			return nil, err
		}
	}
	w := newWorker(l, spec, serve, before.pid)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = append(l.workers, w)
	return w, nil
}

// Forsake implements host.Reattacher.
func (l *Launcher) Forsake(id host.WorkerID) {
	if l.takeSurvivor(id) == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forsaken = append(l.forsaken, id)
}

// Forsaken gives the survivors that nobody wanted.
func (l *Launcher) Forsaken() []host.WorkerID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.forsaken)
}

func (l *Launcher) takeSurvivor(id host.WorkerID) *Worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.survivors[id]
	delete(l.survivors, id)
	return w
}

// Leave implements host.Leaver.
func (w *Worker) Leave() {
	w.mu.Lock()
	w.left = w.left || w.alive()
	w.mu.Unlock()
	w.die(nil)
}
