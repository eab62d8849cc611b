package plugin

import (
	"os"
	"os/exec"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// sleeper is a process of this test's that has nothing to do with any host.
func sleeper(t *testing.T, env ...string) host.Process {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead, which a test has reported
		_ = cmd.Wait()         // it was killed
	})
	id, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}
