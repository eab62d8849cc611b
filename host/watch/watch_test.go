package watch_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/watch"
)

// begin watches root; changes gets a token after each change.
func begin(t *testing.T, root string) (changes <-chan struct{}) {
	t.Helper()
	w, err := watch.New([]string{root})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{}, 100)
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.Run(ctx, func(_ context.Context, blind error) {
			if blind != nil {
				t.Error(blind)
			}
			told <- struct{}{}
		}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); all.Wait() })
	return told
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustTell(t *testing.T, changes <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s went unnoticed", what)
	}
}

func TestChangesOfSourcesAreNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	adapter := filepath.Join(dir, "tools.py")
	write(t, adapter, "a = 1")
	write(t, filepath.Join(dir, "pkg", "__init__.py"), "")
	changes := begin(t, adapter)

	write(t, adapter, "a = 2")
	mustTell(t, changes, "a changed adapter")

	write(t, filepath.Join(dir, "next.py"), "a = 3")
	if err := os.Rename(filepath.Join(dir, "next.py"), adapter); err != nil {
		t.Fatal(err)
	}
	mustTell(t, changes, "a replaced adapter")

	write(t, filepath.Join(dir, "pkg", "part.py"), "b = 1")
	mustTell(t, changes, "a file in a package")

	if err := os.Rename(filepath.Join(dir, "pkg"), filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	mustTell(t, changes, "a package of another name")
	write(t, filepath.Join(dir, "other", "part.py"), "b = 2")
	mustTell(t, changes, "a file in it")
}

func TestManyChangesAreToldOnceAndOtherFilesNever(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	changes := begin(t, dir)
	for _, name := range []string{"data.csv", ".hidden.py", "__pycache__/tools.cpython-311.pyc", "venv/lib/mod.py"} {
		write(t, filepath.Join(dir, name), "x")
	}
	for range 50 {
		write(t, filepath.Join(dir, "tools.py"), "a = 1")
		write(t, filepath.Join(dir, "more.py"), "a = 1")
	}
	mustTell(t, changes, "a changed adapter")
	if n := len(changes); n > 0 {
		t.Errorf("one change was told of %d times", n+1)
	}
}

func TestFolderThatIsMissingCannotBeWatched(t *testing.T) {
	t.Parallel()
	if _, err := watch.New([]string{filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("it can")
	}
}
