//go:build unix && !linux

package plugin

import (
	"os/exec"
	"syscall"
)

// isolate makes the worker leader of its own session and group.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}
