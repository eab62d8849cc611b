//go:build linux

package shim

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The names that the pair are executed under, and the descriptor that makes them
// what they are: the host's end of a socket pair.
const (
	guardName = "snakepit-guard"
	shimName  = "snakepit-shim"
	connFD    = 3
)

// init turns a process that was started as a guard or a shim into one, and never
// returns in it. Any other process goes on to its own main.
func init() {
	run := role(os.Args)
	if run == nil {
		return
	}
	runtime.LockOSThread() // the main thread forks, and its end is the process's
	os.Exit(run())
}

// role is what the process was started as; nil: something else. The name alone
// doesn't make a guard: anybody can give that.
func role(args []string) func() int {
	if len(args) < 2 || !isUnixSocket(connFD) {
		return nil
	}
	switch args[0] {
	case guardName:
		return func() int { return runGuard(args[1:]) }
	case shimName:
		return runShim
	}
	return nil
}

func isUnixSocket(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && domain == unix.AF_UNIX
}
