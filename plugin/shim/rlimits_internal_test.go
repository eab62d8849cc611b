//go:build linux

package shim

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// idler is a process that needs nothing and does nothing.
func idler(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	return cmd.Process.Pid
}

func rlimit(t *testing.T, pid, resource int) uint64 {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur != l.Max {
		t.Errorf("limit %d: the process may raise %d to %d", resource, l.Cur, l.Max)
	}
	return l.Cur
}

// Root isn't held to a number of processes, so a shell becomes a user that has no
// others, and asks for more than it may have.
func TestTooManyProcessesAreRefused(t *testing.T) {
	if _, err := exec.LookPath("setpriv"); err != nil || os.Getuid() != 0 {
		t.Skip("only root, with setpriv, can become a user whose processes are this test's alone")
	}
	const script = "for i in 1 2 3 4 5 6; do /bin/sleep 1 & done; echo all; kill 0"
	cmd := exec.Command("/bin/sh", "-c", "read go; exec setpriv --reuid=64999 --clear-groups --inh-caps=-all /bin/sh -c '"+script+"'")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := setRlimit(cmd.Process.Pid, unix.RLIMIT_NPROC, 4); err != nil {
		t.Error(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it ends badly, one way or the other
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	if strings.Contains(out.String(), "all\n") || !strings.Contains(strings.ToLower(out.String()), "fork") {
		t.Errorf("six processes under a limit of four: %q", out.String())
	}
}

func TestLimitAboveWhatTheUserMayHaveIsReported(t *testing.T) {
	pid := idler(t)
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 256}, nil); err != nil {
		t.Fatal(err)
	}
	all := applyLimits(pid, nil, Limits{OpenFiles: 1<<31 - 1}) // more than the kernel lets anybody have
	if len(all) != 1 || all[0].By != "" || !strings.Contains(all[0].Why, "at most 256") {
		t.Errorf("%+v", all)
	}
	if got := rlimit(t, pid, unix.RLIMIT_NOFILE); got != 256 {
		t.Errorf("it may have %d descriptors, want what its user may have", got)
	}
}
