package boltfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host/boltfile"
)

// asNobody runs fn on a thread that root's rights don't reach, and that ends with it.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if os.Getuid() == 0 {
			_ = unix.Setfsuid(65534) // has no failure to report
		}
		fn()
	}()
	<-done
}

func TestFileThatMayNotBeReadIsNotTorn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(path, []byte("torn"), 0o000); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if err := boltfile.Check(path); !errors.Is(err, fs.ErrPermission) || errors.Is(err, boltfile.ErrTorn) {
			t.Errorf("Check: %v", err)
		}
		if _, _, err := boltfile.Open(path, nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Open: %v", err)
		}
	})
}

func TestFolderThatMayNotBeWrittenKeepsItsTornFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	overwrite(t, path, []byte("torn"))
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	asNobody(t, func() {
		if _, _, err := boltfile.Open(path, nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Open: %v", err)
		}
	})
	if got := content(t, path); string(got) != "torn" {
		t.Errorf("it holds %q", got)
	}
}

func TestPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := boltfile.Check(path); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("Check: %v", err)
	}
}
