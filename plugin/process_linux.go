package plugin

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host"
)

// isolate makes the worker leader of its own session and group, and ties its life
// to the thread that forks it.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit blocks until the child has ended and leaves it unreaped, so that its
// pid stays its own.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// limit turns core dumps off: a crash of a worker with a model in memory writes gigabytes.
func limit(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) // a worker that has died already has no limits
}

// identify reads a process's start time: field 22 of its stat, counted after the
// last parenthesis, since names may hold anything.
func identify(pid int) host.Process {
	id := host.Process{PID: pid}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return id
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) > 19 {
		id.StartTime, _ = strconv.ParseUint(string(fields[19]), 10, 64) // zero: unknown
	}
	return id
}

// residentBytes reads a process's resident memory from its statm.
func residentBytes(pid int) uint64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(string(fields[1]), 10, 64) // zero: unknown
	return pages * uint64(os.Getpagesize())                  //nolint:gosec // a page's size is positive
}
