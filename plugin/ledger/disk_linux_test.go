package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestFullDiskIsAnErrorAndNothingMore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(disk(t), "ledger.db")
	l := open(t, path)
	must(t, l.Intend(intent("before")))
	filler := fillUp(t, filepath.Dir(path))

	kept, full := 1, 0
	for i := range 2000 {
		switch err := l.Intend(intent(fmt.Sprintf("w-%04d", i))); {
		case err == nil:
			kept++
		case errdefs.ReasonOf(err) == errdefs.DiskFull && errors.Is(err, errdefs.ErrExhausted):
			full++
		default:
			t.Fatal(err)
		}
		if full == 20 {
			break
		}
	}
	if full < 20 {
		t.Fatalf("%d writes fitted on a full disk", kept)
	}
	must(t, os.Remove(filler))
	must(t, l.Intend(intent("after")))
	all, err := reopen(t, l).Records()
	must(t, err)
	if len(all) != kept+1 {
		t.Errorf("%d records, %d were acknowledged", len(all), kept+1)
	}
}

func TestFullDiskAtTheStartIsExplained(t *testing.T) {
	t.Parallel()
	dir := disk(t)
	fillUp(t, dir)
	_, err := ledger.Open(filepath.Join(dir, "ledger.db"), ledger.Options{})
	refused(t, err, errdefs.DiskFull)
}

func TestReadOnlyDiskIsExplained(t *testing.T) {
	t.Parallel()
	dir := disk(t)
	path := filepath.Join(dir, "ledger.db")
	l := open(t, path)
	must(t, l.Intend(intent("ml-1")))
	must(t, l.Close())
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := ledger.Open(path, ledger.Options{})
	refused(t, err, errdefs.InvalidConfig)
	records, err := ledger.Read(path)
	if err != nil || len(records) != 1 {
		t.Errorf("Read: %v, %v", records, err)
	}
}

func TestFolderOfAnotherUserIsExplained(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	must(t, os.Chmod(filepath.Dir(path), 0o555))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if os.Getuid() == 0 {
			_ = unix.Setfsuid(65534) // has no failure to report
		}
		_, err := ledger.Open(path, ledger.Options{})
		done <- err
	}()
	refused(t, <-done, errdefs.InvalidConfig)
}

// disk mounts a disk of 256 KiB.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp takes all the room that is left.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return f.Name()
}
