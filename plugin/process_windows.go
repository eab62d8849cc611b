package plugin

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

type signal = syscall.Signal

const (
	sigTerm = syscall.SIGTERM
	sigKill = syscall.SIGKILL
)

func isolate(*exec.Cmd) {}

// signalGroup ends the process; Windows has no groups to signal and no polite way.
func signalGroup(pid int, sig signal) {
	if sig != sigKill {
		return
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // it has ended already
	}
}

func exitOf(state *os.ProcessState, err error) errdefs.Exit {
	if err != nil {
		return errdefs.Exit{Code: -1}
	}
	return errdefs.Exit{Code: state.ExitCode()}
}
