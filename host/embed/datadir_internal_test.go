//go:build linux

package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// runtimeDir is where run folders go, for the length of a test.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return filepath.Join(dir, "snakepit")
}

func mustOpen(t *testing.T, data string) *dirs {
	t.Helper()
	d, err := openDirs(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustClose(t *testing.T, d *dirs) {
	t.Helper()
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// crash gives up what the end of a process does.
func (d *dirs) crash(t *testing.T) {
	t.Helper()
	for _, f := range d.locks {
		if err := unlock(f); err != nil {
			t.Error(err)
		}
	}
}

// TestCopyOfADataDirectoryIsAnotherInstance: else its host would end the workers of
// the original's.
func TestCopyOfADataDirectoryIsAnotherInstance(t *testing.T) {
	runtimeDir(t)
	original, copied := filepath.Join(t.TempDir(), "original"), filepath.Join(t.TempDir(), "copied")
	first := mustOpen(t, original)
	if err := os.CopyFS(copied, os.DirFS(original)); err != nil {
		t.Fatal(err)
	}
	second := mustOpen(t, copied)
	if first.instance == second.instance {
		t.Errorf("both are instance %s", first.instance)
	}
	mustClose(t, first)
	mustClose(t, second)
	for d, want := range map[string]string{original: first.instance, copied: second.instance} {
		again := mustOpen(t, d)
		if again.instance != want {
			t.Errorf("%s is instance %s once opened again, want %s", d, again.instance, want)
		}
		mustClose(t, again)
	}
}

func TestTornNameOfAnInstanceIsReplaced(t *testing.T) {
	runtimeDir(t)
	data := t.TempDir()
	path := filepath.Join(data, instanceFile)
	for _, text := range []string{"", "\n", "a", "0123456789abcdef", "0123456789abcdef\n", "0123456789\n" + data + "\n", "0123456789abcdef\n" + data} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := mustOpen(t, data)
		mustClose(t, d)
		if len(d.instance) != 16 || d.instance == "0123456789abcdef" {
			t.Errorf("%q names instance %q", text, d.instance)
		}
		again := mustOpen(t, data)
		if again.instance != d.instance {
			t.Errorf("the name isn't kept: %s, then %s", d.instance, again.instance)
		}
		mustClose(t, again)
	}
}

func TestDiskOfADataDirectoryThatTakesNothingIsExplained(t *testing.T) {
	base := runtimeDir(t)
	full := smallDisk(t)
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(full, fmt.Sprint(i)), make([]byte, 4096), 0o600); err != nil {
			break
		}
	}
	readOnly := smallDisk(t)
	d := mustOpen(t, readOnly)
	mustClose(t, d)
	if err := unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]errdefs.Reason{full: errdefs.DiskFull, readOnly: errdefs.InvalidConfig, file: errdefs.InvalidConfig} {
		for range 2 {
			_, err := openDirs(data, nil)
			if errdefs.ReasonOf(err) != want {
				t.Errorf("%s: %v, want %s", data, err, want)
			}
			var e *errdefs.Error
			if !errors.As(err, &e) || e.Hint == "" {
				t.Errorf("%v has no hint", err)
			}
		}
	}
	wantFolders(t, base, 0)
}

func TestFullDiskOfTheRunFolderLeavesNothing(t *testing.T) {
	small := smallDisk(t)
	t.Setenv("XDG_RUNTIME_DIR", small)
	mustClose(t, mustOpen(t, t.TempDir()))
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(small, fmt.Sprint(i)), make([]byte, 4096), 0o600); err != nil {
			break
		}
	}
	base := filepath.Join(small, "snakepit")
	for range 3 {
		d, err := openDirs(t.TempDir(), nil)
		if err == nil {
			mustClose(t, d) // elsewhere: the folder wasn't writable
		}
	}
	wantFolders(t, base, 0)
}

func wantFolders(t *testing.T, base string, want int) {
	t.Helper()
	entries, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	if len(folders) != want {
		t.Errorf("folders %v are left, want %d", folders, want)
	}
}

// smallDisk mounts a disk of 256 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestHostsThatComeAndGoLeaveEachOthersFoldersAlone: each start sweeps what crashed
// hosts have left, and one of those may be coming back at that moment.
func TestHostsThatComeAndGoLeaveEachOthersFoldersAlone(t *testing.T) {
	base := runtimeDir(t)
	var all sync.WaitGroup
	for i := range 8 {
		data := filepath.Join(t.TempDir(), "data")
		all.Go(func() {
			for round := range 40 {
				d, err := openDirs(data, nil)
				if err != nil {
					t.Errorf("host %d, start %d: %v", i, round, err)
					return
				}
				other, err := openDirs("", nil) // which sweeps
				if err != nil {
					t.Errorf("host %d, start %d: %v", i, round, err)
					return
				}
				for _, run := range []string{d.run, other.run} {
					if _, err := os.Stat(filepath.Join(run, lockFile)); err != nil {
						t.Errorf("host %d, start %d: its folder is gone: %v", i, round, err)
						return
					}
				}
				mustClose(t, other)
				d.crash(t)
			}
		})
	}
	all.Wait()
	sweep(base)
	wantFolders(t, base, 0)
}

// TestRunFolderStaysWhileWorkersLiveInIt: another host may have adopted them.
func TestRunFolderStaysWhileWorkersLiveInIt(t *testing.T) {
	runtimeDir(t)
	d := mustOpen(t, t.TempDir())
	guard, err := os.Create(filepath.Join(d.run, shim.LockFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := lock(guard); err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	if ifThere(d.run) == "" || ifThere(d.socket()) != "" {
		t.Errorf("folder %q, socket %q; want the folder alone", ifThere(d.run), ifThere(d.socket()))
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	sweep(filepath.Dir(d.run))
	if ifThere(d.run) != "" {
		t.Error("it stays when they have ended")
	}
}
