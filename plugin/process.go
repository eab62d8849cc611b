package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// lastLines is how long the last of what a dead worker printed may take to get
// through the log.
const lastLines = time.Second

// process is one worker's process, leader of a group of its own, and go-plugin's
// runner. It is started once, and its end is known whoever else waits for it.
type process struct {
	id    host.WorkerID
	cmd   *exec.Cmd // what to start; it's never run as such
	token string
	about ledger.Record          // its pool, fingerprint and folder
	from  *forkserver            // what it's forked from; nil: it's executed
	forks bool                   // it's a forkserver itself
	word  func(line string) bool // takes a forkserver's lines, and tells those of others
	log   *workerLog
	l     *Launcher

	limits  shim.Limits // what it's to be held to
	foreign bool        // it was another host's, and isn't left to a next one

	prints chan printed  // closed with the process; never waited for by who fills it
	heard  chan struct{} // closed when all that it printed is in the log
	hello  *oneLine      // what go-plugin reads: the handshake

	left   chan struct{} // closed when the process is left to the next host
	exited chan struct{} // closed when it's reaped and what it printed is read
	exit   errdefs.Exit  // valid after exited
	note   string        // what else is known of the exit; valid after exited

	mu      sync.Mutex // guards the fields below
	child   child      // nil before it's forked
	doomed  bool       // killed before that
	shook   *handshake // what it said about itself; nil: nothing usable yet
	bad     error      // a handshake that can't be used
	cause   error      // why we killed it
	silent  bool       // prints is closed
	dropped int        // bytes of output that came too fast for the log
	hung    *time.Timer
	frozen  bool   // by the end of the host's lease
	halted  bool   // by a signal that isn't ours
	stills  uint64 // how often either began
}

// printed is a piece of what a process printed.
type printed struct {
	stream byte
	data   []byte
}

// maxPrints bounds what waits for the log: pieces of at most 16 KiB.
const maxPrints = 64

var _ runner.Runner = (*process)(nil)

func newProcess(id host.WorkerID, cmd *exec.Cmd, log *workerLog, l *Launcher) *process {
	return &process{
		id: id, cmd: cmd, token: newToken(l.cfg.Instance), log: log, l: l, hello: newOneLine(),
		prints: make(chan printed, maxPrints), heard: make(chan struct{}), left: make(chan struct{}), exited: make(chan struct{}),
	}
}

// Start forks the worker. It implements runner.Runner.
func (p *process) Start(ctx context.Context) error {
	if err := p.l.records.intend(p.record()); err != nil {
		return err
	}
	p.l.step("intended")
	p.listen()
	c, err := p.l.nursery.start(ctx, p)
	if err != nil {
		p.silence()
		return errors.Join(err, p.l.records.erase(p.id))
	}
	p.l.step("forked")
	p.born(c)
	if c.identity().PID < 0 {
		return nil // it has ended and was reaped already: there's nobody to record
	}
	if err := p.l.records.identify(p.id, c.identity()); err != nil {
		p.refuse(err) // none that isn't recorded
		return err
	}
	p.l.step("identified")
	return nil
}

// noteFrozen is told that the lease's end has stopped the process, or that it goes
// on. That isn't being hung: whoever froze it also ends it.
func (p *process) noteFrozen(frozen bool) {
	p.goesOn()
	p.mu.Lock()
	if p.frozen = frozen; frozen {
		p.stills++
	}
	p.mu.Unlock()
	p.say(hclog.Warn, "the worker is frozen: the host's lease has ended", "frozen", frozen)
}

// say logs on a goroutine of its own: whoever tells us what has become of a process
// does so for all of them, and must not wait for a log.
func (p *process) say(level hclog.Level, what string, args ...any) {
	p.l.wg.Go(func() { p.log.logger.Log(level, what, args...) })
}

// held is told what has become of the limits that it was to have.
func (p *process) held(all []shim.Limit) {
	if len(all) > 0 {
		p.l.wg.Go(func() { p.l.limits.say(p.log.logger, p.about.Pool, all) })
	}
}

// born takes charge of the new process. What it prints may have doomed it already.
func (p *process) born(c child) {
	p.mu.Lock()
	p.child = c
	doomed := p.doomed
	p.mu.Unlock()
	if doomed {
		c.kill()
	}
}

// listen takes what the process prints, until prints is closed.
func (p *process) listen() {
	out := &lineCutter{fn: p.stdoutLine()}
	diagnostics := &lineCutter{fn: p.log.line}
	p.l.wg.Go(func() {
		defer close(p.heard)
		defer p.hello.end()
		defer p.log.close()
		for piece := range p.prints {
			if piece.stream == stdoutStream {
				_, _ = out.Write(piece.data) // a lineCutter never fails
				continue
			}
			_, _ = diagnostics.Write(piece.data) // as above
		}
		out.Close()
		diagnostics.Close()
	})
}

// hear is told what the process printed. It never blocks: the process, and those
// beside it, must not wait for our log.
func (p *process) hear(stream byte, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent {
		return
	}
	select {
	case p.prints <- printed{stream, data}:
	default:
		p.dropped += len(data)
	}
}

// hearing takes what a worker sends over go-plugin's own stdio service, as those
// that are served by go-plugin itself do with all that they print.
type hearing struct{ p *process }

func (h hearing) Write(data []byte) (int, error) {
	h.p.hear(stderrStream, bytes.Clone(data))
	return len(data), nil
}

// silence says that nothing more is printed.
func (p *process) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.silent {
		p.silent = true
		close(p.prints)
	}
}

// stdoutLine passes the first line that is a handshake to go-plugin. A worker that
// an earlier host has shaken hands with has nothing more to say there.
func (p *process) stdoutLine() func(line []byte, cut bool) {
	if p.forks {
		return p.forkserverLine
	}
	seen := p.shook != nil
	return func(line []byte, cut bool) {
		if seen || !isHandshake(string(line)) {
			p.log.noise(line, cut)
			return
		}
		seen = true
		p.pass(string(line))
	}
}

func (p *process) forkserverLine(line []byte, cut bool) {
	if !p.word(string(line)) {
		p.log.noise(line, cut)
	}
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
		p.mu.Lock()
		p.shook = &h
		p.mu.Unlock()
		p.hello.put(h.String())
	}
	p.hello.end()
}

func (p *process) refuse(why error) {
	p.mu.Lock()
	p.bad = why
	p.mu.Unlock()
	p.Signal(sigKill)
}

// ended is told how the process ended: it's reaped, and all that it printed was told.
func (p *process) ended(exit errdefs.Exit, note string) {
	p.goesOn()
	p.silence()
	p.l.wg.Go(func() {
		p.finishPrinting()
		p.exit, p.note = exit, note
		p.exit.Stderr = p.log.last()
		if note == "" && exit.Code != 0 && p.limits.Memory > 0 && p.log.lacked() {
			p.note = "it seems to have run out of the memory that its limit allows"
		}
		if err := p.l.records.erase(p.id); err != nil {
			p.log.logger.Warn("the worker's record stays in the ledger", "err", err)
		}
		p.l.gpus.give(p.id)
		if p.foreign {
			_ = os.RemoveAll(p.about.Dir) // whoever had it may have left it by now
		}
		close(p.exited)
	})
}

func (p *process) finishPrinting() {
	select {
	case <-p.heard:
	case <-time.After(lastLines):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dropped > 0 {
		p.log.logger.Warn("output of the worker was dropped: it came too fast", "bytes", p.dropped)
	}
}

// record is what the ledger and the shim should know of the process by now.
func (p *process) record() ledger.Record {
	rec := p.about
	rec.Worker, rec.Token = p.id, p.token
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		rec.Process = ledger.Identity{Process: p.child.identity(), Boot: proc.BootID()}
	}
	if h := p.shook; h != nil {
		rec.Reattach = ledger.Reattach{Network: h.network, Address: h.addr, ProtocolVersion: h.core, AppVersion: h.app}
	}
	return rec
}

// kept is the process as whoever forked it sees it; nil before it's forked.
func (p *process) kept() child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child
}

// setNote leaves word for a later host with whoever keeps the process. It fails when
// that one is gone, and the process with it.
func (p *process) setNote(text string) error {
	if keeper, ok := p.kept().(interface{ SetNote(note string) error }); ok {
		return keeper.SetNote(text)
	}
	return nil
}

// mark is what whoever keeps the process looks at when the lease ends.
func (p *process) mark() (shim.Mark, bool) {
	marked, ok := p.kept().(interface{ Mark() shim.Mark })
	if !ok {
		return shim.Mark{}, false
	}
	return marked.Mark(), true
}

// leave lets go of a process that goes on without us.
func (p *process) leave() {
	close(p.left)
	p.goesOn()
	p.silence()
}

// stopped is told that somebody else's signal has stopped the process. If it stays
// that way it's as good as dead, unless it's the next host's to judge.
func (p *process) stopped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted = true
	p.stills++
	if isClosed(p.left) {
		return
	}
	bound := p.l.cfg.ProbeTimeout
	p.hung = time.AfterFunc(bound, func() {
		p.kill(errdefs.New(errdefs.WorkerHung, "a signal stopped the worker, and it didn't go on within %s", bound))
	})
}

func (p *process) goesOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halted = false
	if p.hung != nil {
		p.hung.Stop()
	}
}

// stillness reports whether the process is stopped or frozen, and how often it has been.
func (p *process) stillness() (times uint64, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stills, p.frozen || p.halted
}

// Signal sends a signal to the process's group, and SIGKILL to all that descends
// from it, unless it has ended.
func (p *process) Signal(sig signal) {
	p.mu.Lock()
	c := p.child
	p.doomed = p.doomed || c == nil && sig == sigKill
	p.mu.Unlock()
	switch {
	case c == nil: // not forked yet, or never
	case sig == sigKill:
		c.kill()
	default:
		c.signal(sig)
	}
}

// kill ends the process for a reason; the first one counts.
func (p *process) kill(cause error) {
	p.mu.Lock()
	if p.cause == nil {
		p.cause = cause
	}
	p.mu.Unlock()
	p.Signal(sigKill)
}

func (p *process) killedFor() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

func (p *process) refused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad
}

// identity is the process's; zero before it was started.
func (p *process) identity() host.Process {
	if c := p.kept(); c != nil {
		return c.identity()
	}
	return host.Process{}
}

// Wait implements runner.AttachedRunner.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-p.left:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill implements runner.AttachedRunner: SIGKILL, without waiting.
func (p *process) Kill(context.Context) error {
	if !isClosed(p.left) {
		p.Signal(sigKill)
	}
	return nil
}

// Stdout implements runner.Runner: the handshake and nothing else.
func (p *process) Stdout() io.ReadCloser { return io.NopCloser(p.hello) }

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
