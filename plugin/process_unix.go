//go:build unix

package plugin

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

type signal = syscall.Signal

const (
	sigTerm = syscall.SIGTERM
	sigKill = syscall.SIGKILL
)

// signalGroup signals the group that pid leads. The caller knows that pid is our
// unreaped child, so the group can't be anybody else's.
func signalGroup(pid int, sig signal) {
	_ = syscall.Kill(-pid, sig) // ESRCH: the group is empty
}

func exitOf(state *os.ProcessState, err error) errdefs.Exit {
	exit := errdefs.Exit{Code: -1}
	if err != nil {
		return exit
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Signal = unix.SignalName(ws.Signal())
		return exit
	}
	exit.Code = state.ExitCode()
	return exit
}
