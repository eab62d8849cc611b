//go:build linux

package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// smallDisk mounts a disk of 256 KiB.
func smallDisk(t *testing.T) string {
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
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return f.Name()
}

// TestFullDiskIsAnErrorBeforeTheFork: no worker is started that can't be recorded.
func TestFullDiskIsAnErrorBeforeTheFork(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	h.Data = smallDisk(t)
	l, _ := h.comeBack(t)
	filler := fillUp(t, h.Data)
	kept := fillLedger(t, l.cfg.Ledger)
	forked := false
	l.step = func(name string) { forked = forked || name != "intended" }
	_, err := l.Launch(t.Context(), h.spec("default-1"), toolless{})
	if errdefs.ReasonOf(err) != errdefs.DiskFull {
		t.Errorf("Launch on a full disk: %v, want disk_full", err)
	}
	if forked {
		t.Error("a process was forked")
	}
	h.wantFolders(t, 0)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for _, id := range kept {
		if err := l.cfg.Ledger.Erase(id); err != nil {
			t.Fatal(err)
		}
	}
	w, err := l.Launch(t.Context(), h.spec("default-1"), toolless{})
	if err != nil {
		t.Fatalf("Launch with room again: %v", err)
	}
	mustCall(t, w, "remember", "1")
}

// fillLedger writes until nothing fits any more, and gives what did.
func fillLedger(t *testing.T, l *ledger.Ledger) (kept []host.WorkerID) {
	t.Helper()
	for i, full := 0, 0; full < 20; i++ {
		id := host.WorkerID(fmt.Sprintf("filler-%d", i))
		switch err := l.Intend(ledger.Record{Worker: id, Token: "none", Pool: strings.Repeat("x", 200)}); {
		case err == nil:
			kept = append(kept, id)
		case errdefs.ReasonOf(err) == errdefs.DiskFull:
			full++
		default:
			t.Fatal(err)
		}
	}
	return kept
}

// TestLedgerThatFailsDuringAStartLeavesNoProcess: whatever it was about to record.
func TestLedgerThatFailsDuringAStartLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(l *ledger.Ledger, path string) error{
		"torn":   func(_ *ledger.Ledger, path string) error { return os.Truncate(path, 0) },
		"closed": func(l *ledger.Ledger, _ string) error { return l.Close() },
	} {
		for _, step := range []string{"intended", "forked", "attached"} {
			t.Run(name+" once "+step, func(t *testing.T) {
				t.Parallel()
				h := newTestHost(t, countingCommand(t))
				l, records, err := h.launcher(nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, end := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- l.Run(ctx) }()
				l.step = func(at string) {
					if at == step {
						if err := harm(records, h.ledgerPath()); err != nil {
							t.Error(err)
						}
					}
				}
				_, err = l.Launch(t.Context(), h.spec("default-1"), toolless{})
				if err == nil || !errors.Is(err, boltfile.ErrTorn) && !errors.Is(err, ledger.ErrClosed) {
					t.Errorf("Launch: %v, want what the ledger says", err)
				}
				if left := h.carriers(t); len(left) > 0 {
					t.Errorf("%+v run, and nobody would know", left)
				}
				h.wantFolders(t, 0)
				end()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				_ = records.Close() // torn, or closed already
				if name == "torn" {
					h.Data = t.TempDir() // a torn file stays locked for as long as its process lives
				}
				h.comeBack(t)
			})
		}
	}
}

// TestReadOnlyDataDirectoryIsExplained: there is no launcher then, so no worker.
func TestReadOnlyDataDirectoryIsExplained(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	h.Data = smallDisk(t)
	if err := unix.Mount("", h.Data, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.launcher(nil); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("%v, want invalid_config", err)
	}
}

// TestSurvivorsWaitForRoomOnTheDisk: a ledger that lost them can't take them up
// again yet, and they are neither ended nor gone on with.
func TestSurvivorsWaitForRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	h.Data = smallDisk(t)
	l, records, err := h.launcher(nil)
	if err != nil {
		t.Fatal(err)
	}
	filler := fillUp(t, h.Data)
	kept := fillLedger(t, records)
	if err := l.Recover(t.Context()); errdefs.ReasonOf(err) != errdefs.DiskFull {
		t.Errorf("Recover on a full disk: %v, want disk_full", err)
	}
	if err := l.Leave(patience); err != nil {
		t.Error(err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
	if !isAlive(before) {
		t.Fatal("the worker was ended")
	}
	err = errors.Join(os.Remove(filler), records.Close())
	if err != nil {
		t.Fatal(err)
	}
	again, _ := h.comeBack(t)
	for _, id := range kept {
		if err := again.cfg.Ledger.Erase(id); err != nil {
			t.Fatal(err)
		}
	}
	mustCall(t, reattach(t, again, h), "remember", "2")
}
