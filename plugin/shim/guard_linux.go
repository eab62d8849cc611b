package shim

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// The descriptors of guard and shim, beside the host's connection.
const (
	listenerFD = 4 // where later hosts connect
	lockFD     = 5 // whose lock says that the folder is in use
	lifelineFD = 6 // the shim's alone: it ends with the guard
)

// isolatedArg asks for a PID namespace around the shim.
const isolatedArg = "pidns"

// runGuard starts the shim, waits for its end, and kills whatever is left of it:
// that becomes the guard's child, being the nearest subreaper's. It returns when
// there is nothing any more.
func runGuard(args []string) int {
	if err := harden(); err != nil {
		return complain(err)
	}
	closeInherited()
	sweepCgroups()
	self, err := proc.Identify(os.Getpid())
	if err != nil {
		return complain(err)
	}
	name := cgroupName(self)
	socket := socketName(listenerFD)
	shim, lifeline, err := startShim(append([]string{name}, args...))
	if err != nil {
		return complain(err)
	}
	for _, fd := range []int{connFD, listenerFD} {
		_ = unix.Close(fd) // the shim's now: their end must be its end
	}
	guardShim(shim)
	_ = lifeline.Close() // it was ours to hold open until here
	if root, err := cgroupRoot(); err == nil {
		removeCgroups(filepath.Join(root, name))
	}
	_ = os.Remove(socket) // it may be gone with its folder
	return 0
}

// guardShim keeps the shim awake while it lives, kills all that it leaves, and
// returns when no child is left.
func guardShim(shim int) {
	dead := false
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WUNTRACED, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // no children any more
			return
		case pid == shim && status.Stopped():
			_ = unix.Kill(shim, unix.SIGCONT) // our unreaped child
		case pid == shim:
			dead = true
		}
		if dead {
			killDescendants()
		}
	}
}

// killDescendants kills whoever descends from us by now. The end of each makes its
// children ours, and wakes us again.
func killDescendants() {
	all, err := proc.All()
	for ; err != nil; all, err = proc.All() {
		_ = complain(err)
		time.Sleep(acceptPause)
	}
	for _, s := range proc.Below(os.Getpid(), all) {
		proc.Kill(s.ID)
	}
}

// closeInherited closes what the host had from whoever started it, which the guard
// and every worker would hold open for as long as they live. Our own descriptors
// end with an exec; those don't.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		_ = complain(err)
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < lifelineFD {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd) // nothing of ours
		}
	}
}

// socketName is where a listener listens.
func socketName(fd int) string {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return ""
	}
	if unixName, ok := name.(*unix.SockaddrUnix); ok {
		return unixName.Name
	}
	return ""
}

// harden is what guard and shim have in common: they adopt orphans, and end for
// nobody's signal but SIGKILL.
func harden() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	// Ignored signals stay ignored in what we start; these don't. Nobody reads the channel.
	signal.Notify(make(chan os.Signal, 1))
	unix.Umask(0o077)
	// No core dumps: a crash of a worker with a model in memory writes gigabytes.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return os.Chdir("/")
}

// startShim executes this binary as the shim. The pipe's end that is returned is
// the guard's life: the shim sees it close.
func startShim(args []string) (pid int, lifeline *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = r.Close() }() // the shim has its own
	sys := &syscall.SysProcAttr{Setsid: true}
	if args[len(args)-1] == isolatedArg {
		// The kernel ends a PID namespace with its first process, which is the shim. It dies
		// with the guard, so nothing is left even when all are killed at once.
		sys.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
		sys.Pdeathsig = unix.SIGKILL
	}
	argv := append([]string{shimName}, args...)
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{ //nolint:gosec // this very program
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, connFD, listenerFD, lockFD, r.Fd()},
		Sys:   sys,
	})
	if err != nil {
		_ = w.Close() // there is nobody to hold it for
		return 0, nil, fmt.Errorf("start the shim: %w", err)
	}
	return pid, w, nil
}

// complain writes to the pair's log and gives the exit code of a failure.
func complain(err error) int {
	_, _ = fmt.Fprintf(os.Stderr, "%s[%d]: %v\n", filepath.Base(os.Args[0]), os.Getpid(), err) // nobody else to tell
	return 1
}
