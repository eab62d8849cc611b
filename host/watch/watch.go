package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing may change until a change counts as complete.
	quiet = 300 * time.Millisecond
	// atMost is how long a change that never ends is waited for.
	atMost = 5 * time.Second
	// maxFolders bounds what one watcher holds.
	maxFolders = 1000
)

// Watcher watches the folders of one adapter.
type Watcher struct {
	roots   []string
	notify  *fsnotify.Watcher
	folders int // that are watched
}

// New watches the Python files and pyproject.toml of each root: of a folder, and of
// the packages in it, however deep; of a file, the folder that it's in. It fails when
// one isn't there, or the system has no watches left.
func New(roots []string) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &Watcher{roots: roots, notify: notify}
	if err := w.scan(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	return w, nil
}

// scan watches all there is to watch; what is watched already stays so.
func (w *Watcher) scan() error {
	w.folders = 0
	for _, root := range w.roots {
		st, err := os.Stat(root)
		if err != nil {
			return err
		}
		if !st.IsDir() {
			root = filepath.Dir(root)
		}
		if err := w.add(root); err != nil {
			return err
		}
	}
	return nil
}

// add watches a folder and the packages in it. What is gone by now isn't missed.
func (w *Watcher) add(folder string) error {
	if w.folders >= maxFolders {
		return errors.New("more folders than can be watched: " + folder)
	}
	if err := w.notify.Add(folder); err != nil {
		return err
	}
	w.folders++
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		sub := filepath.Join(folder, e.Name())
		if !e.IsDir() || !isPackage(sub) {
			continue
		}
		if err := w.add(sub); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isPackage keeps environments, caches and whatever else lies beside the code out.
func isPackage(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "__init__.py"))
	return err == nil
}

// Run calls changed after each change, once it's complete, until ctx ends; changes
// that come while it runs are told of by the next call. blind, where it isn't nil, says
// why some of the files can't be watched. It closes the watcher.
func (w *Watcher) Run(ctx context.Context, changed func(ctx context.Context, blind error)) error {
	for w.await(ctx) {
		changed(ctx, w.scan()) // packages may be new, or may have moved
	}
	return w.notify.Close()
}

// await blocks until a change is complete; false: until ctx has ended.
func (w *Watcher) await(ctx context.Context) bool {
	var settled, late <-chan time.Time // nil: nothing has changed yet
	for {
		select {
		case e := <-w.notify.Events:
			if !counts(e) {
				continue
			}
		case <-w.notify.Errors: // events were lost: who knows what has changed
		case <-settled:
			return true
		case <-late:
			return true
		case <-ctx.Done():
			return false
		}
		settled = time.After(quiet)
		if late == nil {
			late = time.After(atMost)
		}
	}
}

// counts reports whether an event may change what a worker runs.
func counts(e fsnotify.Event) bool {
	if e.Has(fsnotify.Create) && isPackage(e.Name) {
		return true
	}
	name := filepath.Base(e.Name)
	source := strings.HasSuffix(name, ".py") && !strings.HasPrefix(name, ".") || name == "pyproject.toml"
	return source && e.Op != fsnotify.Chmod
}
