package plugin

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/hardware"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Config says where a launcher keeps what belongs to its workers.
type Config struct {
	// Dir holds a folder for each worker, with its sockets. It must exist, be
	// 0700 and have a short path: a socket's path has 107 bytes in all.
	Dir string
	// LogDir holds each worker's standard error, at most 8 MiB of it; empty: only
	// the last lines are kept, in memory.
	LogDir string
	// Host is the host's name, for the workers' logs.
	Host string
	// Incarnation grows each time that the host starts; workers refuse a lower one.
	// With a Ledger it's the ledger's.
	Incarnation uint64
	// Instance is what the tokens of this host's workers begin with, from
	// [NewInstance]; a host that comes back has the same. Empty: a new one.
	Instance string
	// Ledger records every process before it's forked; nil: nothing is recorded.
	Ledger *ledger.Ledger
	// OrphanGrace is how long the workers wait for another host when this one dies;
	// zero: not at all.
	OrphanGrace time.Duration
	// StopAfter is how long a worker that was frozen at the end of a lease is kept; zero: 10 s.
	StopAfter time.Duration
	// ProbeTimeout is how long a worker may stay stopped by a signal that isn't ours;
	// zero: 2 s.
	ProbeTimeout time.Duration
	// Isolated puts the workers into a PID namespace, which the kernel ends with the
	// shim. It needs CAP_SYS_ADMIN.
	Isolated bool
	// NoCgroups does without cgroups even where they can be used.
	NoCgroups bool
	// Logger gets the workers' own log lines, and ours; nil: none.
	Logger hclog.Logger
}

func (c Config) withDefaults() Config {
	c.Instance = cmp.Or(c.Instance, NewInstance())
	c.StopAfter = cmp.Or(c.StopAfter, 10*time.Second)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, 2*time.Second)
	if c.Ledger != nil {
		c.Incarnation = c.Ledger.Incarnation()
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// defaultStartTimeout is long because imports of machine learning libraries are.
const defaultStartTimeout = time.Minute

// Launcher starts Python workers, or any other that speaks the protocol, and goes
// on with those that an earlier host has left.
type Launcher struct {
	cfg     Config
	records records
	nursery nursery
	wg      sync.WaitGroup // every goroutine of every worker
	forks   forkservers
	limits  limitReport
	gpus    gpus
	step    func(string) // a test's; called at each step of a start

	mu        sync.Mutex // guards survivors
	survivors map[host.WorkerID]*survivor
}

var (
	_ host.Launcher   = (*Launcher)(nil)
	_ host.Reattacher = (*Launcher)(nil)
)

// NewLauncher returns a launcher that can launch while its Run runs.
func NewLauncher(cfg Config) *Launcher {
	cfg = cfg.withDefaults()
	l := &Launcher{cfg: cfg, records: records{cfg.Ledger}, step: func(string) {}, survivors: map[host.WorkerID]*survivor{}}
	l.nursery = newNursery(cfg, &l.wg)
	l.forks.l, l.forks.pool = l, map[string]*forkserver{}
	l.gpus.detector = hardware.New()
	return l
}

// Run owns every process and goroutine of the workers. When ctx ends it kills those
// that nobody has stopped, and returns once every worker is reaped.
func (l *Launcher) Run(ctx context.Context) error {
	nursing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		l.forks.close() // that they die is no news then
		cancel()
	})()
	err := l.nursery.run(nursing)
	l.forsakeForeign()
	l.wg.Wait()
	return err
}

// Leave lets go of the workers, which go on, for another host to come within the
// grace. Those that have a host.Worker must have been left before. Those that were adopted
// end: the next host doesn't look where they are kept. Run still ends with its context.
func (l *Launcher) Leave(grace time.Duration) error {
	for _, f := range l.forks.close() { // the next host starts its own
		<-f.gone
	}
	return l.nursery.leave(grace)
}

// SetLease tells until when the host may run what is bound to a session: an
// instant of CLOCK_BOOTTIME in nanoseconds; zero: for ever. When it passes, whether this
// process runs or not, every worker that is marked is frozen, until a later one is
// set or StopAfter has passed.
func (l *Launcher) SetLease(deadline int64) error { return l.nursery.lease(deadline) }

// Launch implements host.Launcher.
func (l *Launcher) Launch(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	where := errdefs.Where{Pool: spec.Pool, Worker: string(spec.Worker)}
	if spec.Timeout <= 0 {
		spec.Timeout = defaultStartTimeout
	}
	ctx, cancel := withStartTimeout(ctx, spec.Timeout)
	defer cancel()
	s, err := l.prepare(spec)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.StartFailed, err, "adapter %s", spec.Command.Adapter).At(where)
	}
	if err := s.chooseParent(ctx); err != nil {
		s.discard()
		return nil, s.explain(ctx, err, false).At(where)
	}
	if err := s.takeGPUs(ctx); err != nil {
		s.discard()
		return nil, s.explain(ctx, err, false).At(where)
	}
	s.plugin = s.client()
	w, err := s.start(ctx, serve)
	if err != nil {
		byItself := s.discard()
		s.doubtParent(ctx)
		s.giveUnused()
		return nil, s.explain(ctx, err, byItself).At(where)
	}
	return w, nil
}

func withStartTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the worker wasn't ready within start_timeout (%s)", timeout))
}

// prepare makes the worker's folder and its command; nothing runs yet.
func (l *Launcher) prepare(spec host.Spec) (*startup, error) {
	dir, err := l.workerDir()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(spec.Command.Path, spec.Command.Args...) //nolint:noctx,gosec // the worker outlives its launch; the command is the operator's
	cmd.Dir = spec.Command.Dir
	if cmd.Dir == "" {
		cmd.Dir = dir
	}
	isolate(cmd)
	log := l.workerLog(spec.Worker)
	p := newProcess(spec.Worker, cmd, log, l)
	p.limits = limitsOf(spec.Settings.Limits)
	p.about = ledger.Record{Pool: spec.Pool, Fingerprint: fingerprint(spec), Dir: dir}
	return &startup{l: l, spec: spec, dir: dir, logger: log.logger, proc: p}, nil
}

func (l *Launcher) workerLog(id host.WorkerID) *workerLog {
	log := &workerLog{logger: l.log(id)}
	if l.cfg.LogDir != "" {
		log.path = filepath.Join(l.cfg.LogDir, filepath.Base(string(id))+".log")
	}
	return log
}

// takeGPUs gives the worker devices of its own, where it's to have any.
func (s *startup) takeGPUs(ctx context.Context) (err error) {
	s.devices, err = s.l.gpus.take(ctx, s.spec.Worker, s.spec.Settings.GPUs)
	s.proc.about.Devices = strings.Join(s.devices, ",")
	return err
}

// giveUnused takes them back from a worker that never had a process. Those of one that had
// are given back with its end.
func (s *startup) giveUnused() {
	if s.proc.identity().PID == 0 {
		s.l.gpus.give(s.spec.Worker)
	}
}

// workerDirDigits is how many hexadecimal digits name a worker's folder.
const workerDirDigits = 12

func isWorkerDir(name string) bool {
	return len(name) == workerDirDigits && strings.Trim(name, "0123456789abcdef") == ""
}

// workerDir makes a folder with a name of its own: a socket's path is never used
// twice, since gRPC binds over a live one without a word.
func (l *Launcher) workerDir() (string, error) {
	dir := filepath.Join(l.cfg.Dir, randomHex(workerDirDigits/2))
	const below = len("/plugin-dir1234567890/12345678.sock") // what go-plugin and the SDK add
	if n := len(dir) + below; n > maxSocketPath {
		return "", fmt.Errorf("sockets under %s would have paths of %d bytes, and the system takes %d; choose a shorter data directory or XDG_RUNTIME_DIR", l.cfg.Dir, n, maxSocketPath)
	}
	return dir, os.Mkdir(dir, 0o700)
}

// client is go-plugin's side of the process. What isn't set here is left alone on
// purpose: AutoMTLS can't work with grpc-python, Managed leaks, and the
// broker's multiplexing needs yamux below gRPC.
func (s *startup) client() *goplugin.Client {
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: cookieKey, MagicCookieValue: cookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{protocolVersion: {pluginName: workerPlugin{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
			s.proc.cmd.Env = instead(s.proc.environ(s.spec, spec.Env...), gpuEnviron(s.devices))
			return s.proc, nil
		},
		SkipHostEnv:      true,
		SyncStdout:       hearing{s.proc},
		SyncStderr:       hearing{s.proc},
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: s.dir},
		StartTimeout:     s.spec.Timeout,
		Logger:           hclog.NewNullLogger(),
	})
}
