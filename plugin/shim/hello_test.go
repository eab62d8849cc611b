//go:build linux

package shim_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

// TestAHostThatDiesBeforeItsHelloIsNotWaitedFor plays a host that is killed just
// after it has started its guard.
func TestAHostThatDiesBeforeItsHelloIsNotWaitedFor(t *testing.T) {
	cfg := config(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(cfg.Dir, "s.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	door, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	lock, err := os.Create(filepath.Join(cfg.Dir, shim.LockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	guard := exec.CommandContext(t.Context(), "/proc/self/exe")
	guard.Args = []string{"snakepit-guard", cfg.Dir, ""}
	guard.ExtraFiles = []*os.File{theirs, door, lock}
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	begun := time.Now()
	ours.Close()
	if err := guard.Wait(); err != nil {
		t.Error(err)
	}
	// A host that lives has 5 s for its hello.
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the pair ended %s after its host", took)
	}
}
