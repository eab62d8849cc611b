package plugin

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// drainTime is how long the pipes of a dead worker are still read. A grandchild
// that holds them open can't make it longer.
const drainTime = 200 * time.Millisecond

// direct forks workers from this process, where there is no shim: they end with
// it, and what left their groups is beyond its reach. One thread forks, for as long
// as the host lives: PDEATHSIG is tied to the forking thread, not to the process
// (golang/go#27505).
type direct struct {
	wg       *sync.WaitGroup
	requests chan forkRequest
	stopped  chan struct{}

	mu   sync.Mutex // guards live
	live map[*directChild]struct{}
}

type forkRequest struct {
	p    *process
	done chan forked
}

type forked struct {
	child *directChild
	err   error
}

func newDirect(wg *sync.WaitGroup) *direct {
	return &direct{wg: wg, requests: make(chan forkRequest), stopped: make(chan struct{}), live: map[*directChild]struct{}{}}
}

// run implements nursery. Its thread ends with ctx, and with the thread whatever it
// forked and nobody stopped.
func (d *direct) run(ctx context.Context) error {
	d.wg.Go(func() { d.fork(ctx) })
	<-d.stopped // no further worker from here on
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.live {
		c.kill()
	}
	return nil
}

// recover implements nursery: nobody outlives a host that forked them itself.
func (d *direct) recover(context.Context) ([]found, []ledger.Record, error) { return nil, nil, nil }

// inherit implements nursery: nor any other's.
func (d *direct) inherit(context.Context, Estate) ([]legacy, error) { return nil, nil }

// leave implements nursery.
func (d *direct) leave(time.Duration) error { return errNoKeeper() }

// lease implements nursery.
func (d *direct) lease(int64) error { return errNoKeeper() }

func errNoKeeper() error {
	return errdefs.New(errdefs.InvalidConfig, "workers can't outlive their host on this system")
}

// environ implements nursery: the worker watches over its host itself.
func (d *direct) environ() []string { return nil }

func (d *direct) fork(ctx context.Context) {
	runtime.LockOSThread() // never unlocked: the thread must not run anything else
	defer close(d.stopped)
	for {
		select {
		case r := <-d.requests:
			c, err := d.begin(r.p)
			r.done <- forked{c, err}
		case <-ctx.Done():
			return
		}
	}
}

// start implements nursery.
func (d *direct) start(ctx context.Context, p *process) (child, error) {
	r := forkRequest{p: p, done: make(chan forked, 1)}
	select {
	case d.requests <- r:
		f := <-r.done
		return f.child, f.err
	case <-d.stopped:
		return nil, errStopped()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin starts the process and takes charge of it before the thread can end: none
// is ever forked and not known.
func (d *direct) begin(p *process) (*directChild, error) {
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stderr, childErr, err := os.Pipe()
	if err != nil {
		closeAll(stdout, childOut)
		return nil, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = nil, childOut, childErr
	isolate(p.cmd)
	err = p.cmd.Start()
	closeAll(childOut, childErr)
	if err != nil {
		closeAll(stdout, stderr)
		return nil, err
	}
	limit(p.cmd.Process.Pid)
	p.held(shim.ApplyLimits(p.cmd.Process.Pid, p.limits))
	if p.log.path != "" {
		p.log.file = &shim.LogFile{Path: p.log.path}
	}
	c := &directChild{d: d, cmd: p.cmd, id: identify(p.cmd.Process.Pid), pipes: []*os.File{stdout, stderr}}
	d.mu.Lock()
	d.live[c] = struct{}{}
	d.mu.Unlock()
	c.reading.Go(func() { c.read(p, stdoutStream, stdout) })
	c.reading.Go(func() { c.read(p, stderrStream, stderr) })
	d.wg.Go(func() { p.ended(c.reap(), "") })
	return c, nil
}

// directChild is a process whose parent we are.
type directChild struct {
	d       *direct
	cmd     *exec.Cmd
	id      host.Process
	pipes   []*os.File
	reading sync.WaitGroup

	mu     sync.Mutex // guards reaped; held while a signal is sent, so that none goes to a pid that is free again
	reaped bool
}

func (c *directChild) identity() host.Process { return c.id }

func (c *directChild) kill() { c.signal(sigKill) }

func (c *directChild) signal(sig signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		signalGroup(c.id.PID, sig)
	}
}

// read passes on what the process prints.
func (c *directChild) read(p *process, stream byte, pipe io.Reader) {
	for {
		buf := make([]byte, maxLine)
		n, err := pipe.Read(buf)
		if n > 0 {
			p.hear(stream, buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// reap waits for the leader's end, ends what is left of its group while the pid
// still can't be anybody else's, and reaps it.
func (c *directChild) reap() errdefs.Exit {
	awaitExit(c.id.PID)
	c.mu.Lock()
	signalGroup(c.id.PID, sigKill)
	state, err := c.cmd.Process.Wait()
	c.reaped = true
	c.mu.Unlock()

	deadline := time.Now().Add(drainTime)
	for _, pipe := range c.pipes {
		_ = pipe.SetReadDeadline(deadline) // pipes take deadlines
	}
	c.reading.Wait()
	closeAll(c.pipes...)
	c.d.mu.Lock()
	delete(c.d.live, c)
	c.d.mu.Unlock()
	return exitOf(state, err)
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // pipes: nothing to flush
	}
}

// identify names a process; where the system has no start times, by its pid alone.
func identify(pid int) host.Process {
	id, err := proc.Identify(pid)
	if err != nil {
		return host.Process{PID: pid} // it has ended; it isn't reaped
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}
