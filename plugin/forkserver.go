package plugin

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// forkserverMark begins the id of a forkserver, and no pool's name.
	forkserverMark = "forkserver@"
	// forkserverVariable has the SDK be one; it holds the descriptor of the shim's socket.
	forkserverVariable = "SNAKEPIT_WORKER_FORKSERVER"
	forkserverFD       = "3"
)

// What a forkserver says on standard output: that it imports the adapter, and then
// how that went.
const (
	forkserverSays = "snakepit-forkserver|1|"
	saysImporting  = "importing"
	saysReady      = "ready"
	saysFailed     = "failed" // who is forked tells the host why
	saysUnfit      = "unfit|" // and why
)

// maxReason bounds why nothing can be forked, for the log.
const maxReason = 1000

// forkserver is a process that has imported an adapter, for workers to be forked from.
type forkserver struct {
	of   *forkservers
	spec host.Spec // of the first worker that wanted it
	same string    // what its workers have in common
	proc *process

	said     chan string   // what it says, without the prefix; at most two lines
	known    chan struct{} // closed when it's known what it's good for
	unfit    string        // why workers have to be executed; valid after known
	err      error         // why none can start; valid after known
	unwanted chan struct{} // closed by discard
	once     sync.Once     // for that
	gone     chan struct{} // closed when its process is
}

func newForkserver(of *forkservers, spec host.Spec, same string) *forkserver {
	id := host.WorkerID(forkserverMark + spec.Pool + "-" + randomHex(4))
	f := &forkserver{
		of: of, spec: spec, same: same, said: make(chan string, 2),
		known: make(chan struct{}), unwanted: make(chan struct{}), gone: make(chan struct{}),
	}
	cmd := exec.Command(spec.Command.Path, spec.Command.Args...) //nolint:noctx,gosec // it outlives the launch; the command is the operator's
	cmd.Dir = spec.Command.Dir
	isolate(cmd)
	f.proc = newProcess(id, cmd, of.l.workerLog(id), of.l)
	f.proc.about = ledger.Record{Pool: spec.Pool, Fingerprint: fingerprint(spec)}
	f.proc.forks, f.proc.word = true, f.hear
	return f
}

// discard ends it, without waiting. Workers that were forked from it go on.
func (f *forkserver) discard() { f.once.Do(func() { close(f.unwanted) }) }

// lost is told that it couldn't fork. Another one is made ready for the next worker.
func (f *forkserver) lost(err error) {
	if isClosed(f.unwanted) {
		return
	}
	f.logger().Warn("a worker is executed, since it couldn't be forked; another forkserver is started", "err", err)
	f.discard()
	f.of.take(f.spec)
}

func (f *forkserver) logger() hclog.Logger { return f.proc.log.logger }

// usable reports whether it's of any use to the next worker: it may still be
// importing, and one that is unfit is asked no second time.
func (f *forkserver) usable() bool {
	switch known := isClosed(f.known); {
	case known && f.unfit != "":
		return true
	case isClosed(f.unwanted), known && f.err != nil:
		return false
	}
	return !isClosed(f.gone)
}

// run is its life.
func (f *forkserver) run() {
	defer close(f.gone)
	ctx, cancel := withStartTimeout(context.Background(), f.spec.Timeout)
	defer cancel()
	dir, err := f.start(ctx)
	if err == nil {
		f.unfit, err = f.await(ctx)
	}
	f.err = f.explain(ctx, err)
	f.report()
	close(f.known)
	if f.err == nil && f.unfit == "" {
		f.watch()
	}
	f.end()
	if dir != "" {
		_ = os.RemoveAll(dir) // it's empty, or nearly
	}
}

func (f *forkserver) start(ctx context.Context) (dir string, err error) {
	dir, err = f.of.l.workerDir()
	if err != nil {
		return "", err
	}
	f.proc.about.Dir = dir
	if f.proc.cmd.Dir == "" {
		f.proc.cmd.Dir = dir
	}
	f.proc.cmd.Env = append(f.proc.environ(f.spec), forkserverVariable+"="+forkserverFD)
	return dir, f.proc.Start(ctx)
}

// hear is told a line of standard output.
func (f *forkserver) hear(line string) bool {
	word, ok := strings.CutPrefix(line, forkserverSays)
	if ok {
		select {
		case f.said <- word:
		default: // more than it has to say
		}
	}
	return ok
}

var (
	errReplaced = errors.New("another forkserver takes its place")
	errNoServer = errors.New("it isn't a forkserver")
)

// await waits until the adapter is imported. What ends before it says that it will
// try is no forkserver, and executing it tells why.
func (f *forkserver) await(ctx context.Context) (unfit string, err error) {
	begun := false
	for {
		select {
		case word := <-f.said:
			switch word {
			case saysImporting:
				begun = true
			case saysReady, saysFailed:
				return "", nil
			default:
				return clean(strings.TrimPrefix(word, saysUnfit), maxReason), nil
			}
		case <-f.unwanted:
			return "", errReplaced
		case <-ctx.Done():
			return "", ctx.Err()
		case <-f.proc.exited:
			if !begun && len(f.said) == 0 {
				return errNoServer.Error(), nil
			}
			if len(f.said) == 0 {
				return "", errExited
			}
		}
	}
}

// explain makes the error of a launch.
func (f *forkserver) explain(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, errReplaced) {
		return err
	}
	s := &startup{l: f.of.l, spec: f.spec, proc: f.proc}
	return s.explain(ctx, err, errors.Is(err, errExited))
}

func (f *forkserver) report() {
	switch {
	case f.unfit != "" && f.err == nil:
		f.logger().Warn("workers can't be forked; they are executed, as with start: exec", "why", f.unfit)
	case f.err == nil:
		f.logger().Debug("a forkserver has imported the adapter", "pid", f.proc.identity().PID)
	}
}

// watch waits until it's dead, or unwanted.
func (f *forkserver) watch() {
	select {
	case <-f.unwanted:
	case <-f.proc.exited:
		if !isClosed(f.unwanted) {
			f.logger().Warn("a forkserver has died; the next worker's start brings another", "exit", f.proc.exit.String())
		}
	}
}

// end ends its process, if there is one.
func (f *forkserver) end() {
	f.discard()
	f.proc.Signal(sigKill)
	if f.proc.identity().PID == 0 {
		return
	}
	select {
	case <-f.proc.exited:
	case <-time.After(discardTimeout): // in state D: nobody can end it now
		f.logger().Error("a forkserver can't be killed", "pid", f.proc.identity().PID)
		f.proc.leave()
	}
}

// forkservers are one for each pool, as long as its command is the same and it
// isn't reloaded.
type forkservers struct {
	l    *Launcher
	none sync.Once // says that nothing is forked on this system

	mu   sync.Mutex // guards the fields below
	pool map[string]*forkserver
	over bool // none is started any more
}

// find gives what a worker is to be forked from, once that has imported the adapter;
// nil: the worker is to be executed. An error says that it couldn't start.
func (fs *forkservers) find(ctx context.Context, spec host.Spec) (*forkserver, error) {
	if !fs.possible() {
		return nil, nil //nolint:nilnil // that's what it means
	}
	for {
		f := fs.take(spec)
		if f == nil {
			return nil, errStopped()
		}
		select {
		case <-f.known:
		case <-ctx.Done():
			return nil, f.explain(ctx, ctx.Err())
		}
		switch {
		case errors.Is(f.err, errReplaced):
			continue
		case f.err != nil:
			return nil, ownCopy(f.err)
		case f.unfit != "":
			return nil, nil //nolint:nilnil // as above
		}
		return f, nil
	}
}

// ownCopy is an error for one of several launches: each says where it was.
func ownCopy(err error) error {
	var e *errdefs.Error
	if !errors.As(err, &e) {
		return err
	}
	own := *e
	return &own
}

// possible tells whether anybody forks here, and complains once when not.
func (fs *forkservers) possible() bool {
	_, ok := fs.l.nursery.(interface{ forks() })
	if !ok {
		fs.none.Do(func() {
			fs.l.cfg.Logger.Warn("workers can't be forked on this system; they are executed, as with start: exec")
		})
	}
	return ok
}

// take gives the pool's forkserver, and starts one where none would do; nil: it's too late.
func (fs *forkservers) take(spec host.Spec) *forkserver {
	same := fingerprint(spec)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.over {
		return nil
	}
	f := fs.pool[spec.Pool]
	if f != nil && f.same == same && f.spec.Generation >= spec.Generation && f.usable() {
		return f
	}
	if f != nil {
		f.discard()
	}
	f = newForkserver(fs, spec, same)
	fs.pool[spec.Pool] = f
	fs.l.wg.Go(f.run)
	return f
}

// release discards the forkserver of a pool whose workers are executed now.
func (fs *forkservers) release(spec host.Spec) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.pool[spec.Pool]; f != nil && f.spec.Generation <= spec.Generation {
		f.discard()
		delete(fs.pool, spec.Pool)
	}
}

// close discards all, and lets no other be started. It gives those that there were.
func (fs *forkservers) close() []*forkserver {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.over = true
	var all []*forkserver
	for _, f := range fs.pool {
		f.discard()
		all = append(all, f)
	}
	clear(fs.pool)
	return all
}

// isForkserver tells from workers what a dead host has left.
func isForkserver(id host.WorkerID) bool { return strings.HasPrefix(string(id), forkserverMark) }
