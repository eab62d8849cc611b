package plugin

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// drainTime is how long the pipes of a dead worker are still read. A grandchild
// that holds them open can't make it longer.
const drainTime = 200 * time.Millisecond

// process is one worker's process, leader of a group of its own, and go-plugin's
// runner. It is started once, and reaped by a goroutine of its own, whoever else waits.
type process struct {
	cmd *exec.Cmd
	log *workerLog
	l   *Launcher

	stdout, stderr *os.File       // our ends; set by forked
	readers        sync.WaitGroup // of the two pipes
	toClient       *io.PipeWriter // the handshake, then EOF
	fromWorker     *io.PipeReader

	exited chan struct{} // closed when it's reaped and its pipes are read
	exit   errdefs.Exit  // valid after exited
	bad    error         // a handshake that can't be used; valid after exited

	mu     sync.Mutex   // guards the fields below; held while a signal is sent, so that none goes to a pid that is free again
	id     host.Process // zero before Start
	reaped bool
}

var _ runner.Runner = (*process)(nil)

func newProcess(cmd *exec.Cmd, log *workerLog, l *Launcher) *process {
	r, w := io.Pipe()
	return &process{cmd: cmd, log: log, l: l, fromWorker: r, toClient: w, exited: make(chan struct{})}
}

// Start forks the worker. It implements runner.Runner.
func (p *process) Start(ctx context.Context) error {
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, childErr, err := os.Pipe()
	if err != nil {
		closeAll(stdout, childOut)
		return err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = nil, childOut, childErr
	err = p.l.spawner.start(ctx, p.cmd, func() { p.forked(stdout, stderr) })
	closeAll(childOut, childErr)
	if err != nil {
		closeAll(stdout, stderr)
	}
	return err
}

// forked takes charge of the new process.
func (p *process) forked(stdout, stderr *os.File) {
	p.mu.Lock()
	p.stdout, p.stderr = stdout, stderr
	p.id = identify(p.cmd.Process.Pid)
	p.mu.Unlock()
	p.readers.Go(p.readStdout)
	p.readers.Go(p.readStderr)
	p.l.track(p)
}

func (p *process) readStdout() {
	defer func() { _ = p.toClient.Close() }() // a pipe's writer never fails to close
	seen := false
	eachLine(p.stdout, func(line []byte, cut bool) {
		if seen || !isHandshake(string(line)) {
			p.log.noise(line, cut)
			return
		}
		seen = true
		p.pass(string(line))
	})
}

// pass gives go-plugin the handshake, and then the end: nothing that comes later
// concerns it.
func (p *process) pass(line string) {
	h, err := parseHandshake(line)
	switch {
	case err != nil:
		p.refuse(fmt.Errorf("handshake %q: %w", clean(line, maxValue), err))
	case h.core != coreVersion || h.app != protocolVersion:
		p.refuse(errdefs.New(errdefs.VersionMismatch, "the worker speaks go-plugin %d and protocol %d; the host speaks %d and %d",
			h.core, h.app, coreVersion, protocolVersion))
	default:
		_, _ = io.WriteString(p.toClient, h.String()) // fails only when nobody reads any more
	}
	_ = p.toClient.Close()
}

func (p *process) refuse(why error) {
	p.bad = why
	p.Signal(sigKill)
}

func (p *process) readStderr() {
	defer p.log.close()
	eachLine(p.stderr, p.log.line)
}

// reap waits for the leader's end, ends what is left of its group while the pid
// still can't be anybody else's, and reaps it.
func (p *process) reap() {
	defer close(p.exited)
	awaitExit(p.cmd.Process.Pid)
	p.mu.Lock()
	signalGroup(p.cmd.Process.Pid, sigKill)
	state, err := p.cmd.Process.Wait()
	p.reaped = true
	p.mu.Unlock()

	deadline := time.Now().Add(drainTime)
	_ = p.stdout.SetReadDeadline(deadline) // pipes take deadlines
	_ = p.stderr.SetReadDeadline(deadline)
	p.readers.Wait()
	closeAll(p.stdout, p.stderr)
	p.exit = exitOf(state, err, p.log.last())
}

// Signal sends a signal to the whole group, unless the leader has been reaped.
func (p *process) Signal(sig signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id.PID != 0 && !p.reaped {
		signalGroup(p.cmd.Process.Pid, sig)
	}
}

// identity is the process's; zero before it was started.
func (p *process) identity() host.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// Wait implements runner.AttachedRunner.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill implements runner.AttachedRunner: SIGKILL to the group, without waiting.
func (p *process) Kill(context.Context) error {
	p.Signal(sigKill)
	return nil
}

// Stdout implements runner.Runner: the handshake and nothing else.
func (p *process) Stdout() io.ReadCloser { return p.fromWorker }

// Stderr implements runner.Runner: nothing, since we read it ourselves.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(eof{}) }

// Diagnose implements runner.Runner.
func (p *process) Diagnose(context.Context) string { return "" }

// Name implements runner.Runner.
func (p *process) Name() string { return p.cmd.Path }

// ID implements runner.AttachedRunner.
func (p *process) ID() string {
	if pid := p.identity().PID; pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// PluginToHost implements runner.AddrTranslator: both see the same files.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin implements runner.AddrTranslator.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // pipes: nothing to flush
	}
}
