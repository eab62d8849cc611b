package plugin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/snakepit-go/snakepit/host"
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
	Incarnation uint64
	// Logger gets the workers' own log lines, and ours; nil: none.
	Logger hclog.Logger
}

// defaultStartTimeout is long because imports of machine learning libraries are.
const defaultStartTimeout = time.Minute

// Launcher starts Python workers, or any other that speaks the protocol.
type Launcher struct {
	cfg     Config
	spawner *spawner
	wg      sync.WaitGroup // every goroutine of every worker

	mu   sync.Mutex // guards live
	live map[*process]struct{}
}

var _ host.Launcher = (*Launcher)(nil)

// NewLauncher returns a launcher that can launch while its Run runs.
func NewLauncher(cfg Config) *Launcher {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return &Launcher{cfg: cfg, spawner: newSpawner(), live: map[*process]struct{}{}}
}

// Run owns the thread that forks. When ctx ends it kills the workers that nobody
// has stopped, and returns once every worker is reaped.
func (l *Launcher) Run(ctx context.Context) error {
	l.wg.Go(func() { l.spawner.run(ctx) })
	<-l.spawner.stopped // no further worker from here on
	l.killAll()
	l.wg.Wait()
	return nil
}

func (l *Launcher) killAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.live {
		p.Signal(sigKill)
	}
}

// track keeps a process in the list of those that Run ends, until it's reaped.
func (l *Launcher) track(p *process) {
	l.mu.Lock()
	l.live[p] = struct{}{}
	l.mu.Unlock()
	l.wg.Go(func() {
		p.reap()
		l.mu.Lock()
		delete(l.live, p)
		l.mu.Unlock()
	})
}

// Launch implements host.Launcher.
func (l *Launcher) Launch(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	where := errdefs.Where{Pool: spec.Pool, Worker: string(spec.Worker)}
	if spec.Timeout <= 0 {
		spec.Timeout = defaultStartTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, spec.Timeout, fmt.Errorf("the worker wasn't ready within start_timeout (%s)", spec.Timeout))
	defer cancel()
	s, err := l.prepare(spec)
	if err != nil {
		return nil, errdefs.Wrap(errdefs.StartFailed, err, "adapter %s", spec.Command.Adapter).At(where)
	}
	w, err := s.start(ctx, serve)
	if err != nil {
		byItself := s.discard()
		return nil, s.explain(ctx, err, byItself).At(where)
	}
	return w, nil
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
	logger := l.cfg.Logger.Named("worker").With("worker", string(spec.Worker))
	log := &workerLog{logger: logger}
	if l.cfg.LogDir != "" {
		log.path = filepath.Join(l.cfg.LogDir, filepath.Base(string(spec.Worker))+".log")
	}
	return &startup{
		l: l, spec: spec, dir: dir, logger: logger,
		proc: newProcess(cmd, log, l),
	}, nil
}

// workerDir makes a folder with a name of its own: a socket's path is never used
// twice, since gRPC binds over a live one without a word.
func (l *Launcher) workerDir() (string, error) {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	dir := filepath.Join(l.cfg.Dir, hex.EncodeToString(id[:]))
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
			s.proc.cmd.Env = append(append(environ(s.spec.Command.Env), spec.Env...), "SNAKEPIT_WORKER_ID="+string(s.spec.Worker))
			return s.proc, nil
		},
		SkipHostEnv:      true,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: s.dir},
		StartTimeout:     s.spec.Timeout,
		Logger:           hclog.NewNullLogger(),
	})
}
