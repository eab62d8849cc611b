package plugin

import (
	"context"
	"os/exec"
	"runtime"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// spawner forks every worker from one thread that lives as long as the host.
// PDEATHSIG is tied to the forking thread, not to the process: a child of a
// thread that ends is killed while its host lives on (golang/go#27505).
type spawner struct {
	requests chan spawnRequest
	stopped  chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	forked func()
	done   chan error
}

func newSpawner() *spawner {
	return &spawner{requests: make(chan spawnRequest), stopped: make(chan struct{})}
}

// run forks on request until ctx ends. Its thread ends with it, and with the
// thread whatever it forked and nobody stopped.
func (s *spawner) run(ctx context.Context) {
	runtime.LockOSThread() // never unlocked: the thread must not run anything else
	defer close(s.stopped)
	for {
		select {
		case r := <-s.requests:
			r.done <- r.fork()
		case <-ctx.Done():
			return
		}
	}
}

// fork starts the process and tells its owner before the spawner can end: no
// process is ever forked and not known.
func (r spawnRequest) fork() error {
	if err := r.cmd.Start(); err != nil {
		return err
	}
	limit(r.cmd.Process.Pid)
	r.forked()
	return nil
}

// start forks cmd and calls forked, and blocks until that is done or can't be.
func (s *spawner) start(ctx context.Context, cmd *exec.Cmd, forked func()) error {
	r := spawnRequest{cmd: cmd, forked: forked, done: make(chan error, 1)}
	select {
	case s.requests <- r:
		return <-r.done
	case <-s.stopped:
		return errdefs.New(errdefs.Draining, "the host has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}
