package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// firstProcess reports whether this is the first process of its PID namespace, as in
// a container without an init: then whoever loses its parent becomes our child.
func firstProcess() bool { return os.Getpid() == 1 }

// reaper runs the program as a child and does what a first process must: it hands
// signals on and reaps strangers. The host itself can't: it waits for its own children.
type reaper struct {
	mu   sync.Mutex // guards main; held while it's signalled or reaped, so that no signal goes to a pid that is free again
	main int        // the program; another process once that has taken over
}

// runAsFirst runs the program and returns its exit code, or that of whoever took over
// from it. All that is left ends with us.
func runAsFirst() int {
	r := &reaper{}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, handedOn()...)
	var err error
	r.main, err = syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{ //nolint:gosec // this very program
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "snakepit: run below the first process: %v\n", err) // nobody else to tell
		return 1
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { r.handOn(signals, ended) })
	code := r.reap()
	close(ended)
	wg.Wait()
	return code
}

// handedOn are the signals that the program wants. An interrupt from our terminal
// reaches it without us.
func handedOn() []os.Signal {
	all := []os.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGUSR2}
	if !term.IsTerminal(0) {
		all = append(all, unix.SIGINT, unix.SIGQUIT)
	}
	return all
}

func (r *reaper) handOn(signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			r.mu.Lock()
			if sig, ok := s.(syscall.Signal); ok && r.main != 0 {
				_ = unix.Kill(r.main, sig) // our unreaped child
			}
			r.mu.Unlock()
		case <-ended:
			return
		}
	}
}

// reap reaps whoever ends, until the program has and nobody took over from it.
func (r *reaper) reap() int {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 1 // no children: it can't be
		}
		if code, over := r.reapAll(); over {
			return code
		}
	}
}

func (r *reaper) reapAll() (code int, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return 0, false
		}
		if pid != r.main {
			continue
		}
		if r.main = successorOf(); r.main == 0 {
			return exitCodeOf(status), true
		}
	}
}

func exitCodeOf(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// successorOf finds who took over from a program that has ended: it runs the same
// command line, and is our child now. Zero: nobody.
func successorOf() int {
	all, err := proc.All()
	if err != nil {
		return 0
	}
	for _, s := range all {
		if s.PPID == os.Getpid() && !s.Dead() && proc.CommandLine(s.PID) == proc.CommandLine(os.Getpid()) {
			return s.PID
		}
	}
	return 0
}
