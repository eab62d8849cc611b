//go:build integration && linux

package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// TestAHostThatIsTheFirstProcessReapsStrangersAndIsUpgraded runs a host as a container
// without an init does.
func TestAHostThatIsTheFirstProcessReapsStrangersAndIsUpgraded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a PID namespace of its own needs root")
	}
	p := newPlace(t)
	data := filepath.Join(p.dir, "data")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "unshare", "--fork", "--pid", "--mount-proc", "--kill-child", binary, "serve",
		"--adapter", p.adapter(t, "upgrade.py")+":Counters", "--data-dir", data, "--set", "python="+program.Python(t), "-o", "json")
	stderr := new(bytes.Buffer)
	cmd.Env, cmd.Dir, cmd.Stderr = p.env, p.dir, stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, stderr: stderr, lines: bufio.NewReader(out)}
	t.Cleanup(func() { s.stop(t, syscall.SIGKILL) })
	first := s.nextReady(t)

	init := onlyChild(t, cmd.Process.Pid)
	guard := onlyChild(t, onlyChild(t, init.PID).PID)
	if err := syscall.Kill(guard.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "strangers aren't reaped, or there's no new guard", func() bool {
		left := childrenOf(t, init.PID)
		if len(left) != 1 {
			return false
		}
		guards := childrenOf(t, left[0].PID)
		return len(guards) == 1 && guards[0].ID != guard.ID
	})

	if got := p.run(t, "upgrade", "--data-dir", data, "-o", "json"); got.code != 0 {
		t.Fatalf("upgrade: exit %d\n%s", got.code, got.stderr)
	}
	if next := s.nextReady(t); next.PID == first.PID || next.PID == 1 {
		t.Errorf("process %d took over from %d", next.PID, first.PID)
	}
	if err := syscall.Kill(init.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM to the first process: %v\n%s", err, stderr)
	}
}

func childrenOf(t *testing.T, pid int) []proc.Stat {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s proc.Stat) bool { return s.PPID != pid })
}

func onlyChild(t *testing.T, pid int) proc.Stat {
	t.Helper()
	children := childrenOf(t, pid)
	if len(children) != 1 {
		t.Fatalf("process %d has the children %v, want one", pid, children)
	}
	return children[0]
}
