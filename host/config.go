package host

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// Config says what a host runs. Only Launcher and each pool's Command must be
// set, and with no pools not even those: zero means the stated default.
type Config struct {
	Node            string // the host's name in errors and lists; empty: "local"
	Pools           []PoolConfig
	Registry        Registry      // nil: in memory, gone with the host
	Machine         MachineID     // where the host runs, for its records of processes
	Launcher        Launcher      // starts the workers of every pool
	Logger          hclog.Logger  // nil: silent
	CallTimeout     time.Duration // for calls whose context has no deadline; zero: 30 s
	ShutdownTimeout time.Duration // how long Run lets running calls finish; zero: 10 s; negative: not at all
	LeaveWait       time.Duration // the same, when the workers outlive the host (Host.Leave); zero: 30 s
	SessionTTL      time.Duration // how long an unused session lives; zero: 1 h; negative: for ever
	MaxSessions     int           // open at once; zero: 10,000
	LaunchLimit     int           // workers that start at once; zero: one a CPU, at least 2
	HostToolLimit   int           // host tools that run at once for workers; zero: 256
}

// PoolConfig describes one pool.
type PoolConfig struct {
	Name         string // 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*; empty: "default"
	Command      Command
	Settings     WorkerSettings
	Size         int           // workers; zero: 2
	QueueSize    int           // calls that may wait; zero: 1,000; negative: none
	QueueTimeout time.Duration // how long a call may wait for a worker; zero: 5 s
	StartTimeout time.Duration // how long a worker may take to start; zero: 60 s
	CancelGrace  time.Duration // how long a cancelled tool may go on before its worker is killed; zero: 500 ms
	SessionTTL   time.Duration // zero: Config.SessionTTL
}

const (
	defaultMaxPayload = 256 << 20
	maxPoolSize       = 10_000
	maxSlots          = 1024
	// killWait is how long a SIGKILL may take to show, beyond a worker's polite stop.
	killWait = 5 * time.Second
)

func (c Config) withDefaults() Config {
	c.Node = cmp.Or(c.Node, "local")
	c.CallTimeout = cmp.Or(c.CallTimeout, 30*time.Second)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 10*time.Second)
	c.LeaveWait = cmp.Or(c.LeaveWait, 30*time.Second)
	c.SessionTTL = cmp.Or(c.SessionTTL, time.Hour)
	c.MaxSessions = cmp.Or(c.MaxSessions, 10_000)
	c.LaunchLimit = cmp.Or(c.LaunchLimit, max(runtime.GOMAXPROCS(0), 2))
	c.HostToolLimit = cmp.Or(c.HostToolLimit, 256)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	c.Pools = slices.Clone(c.Pools)
	for i, p := range c.Pools {
		c.Pools[i] = p.withDefaults(c.SessionTTL)
	}
	return c
}

func (p PoolConfig) withDefaults(ttl time.Duration) PoolConfig {
	p.Name = cmp.Or(p.Name, "default")
	p.Size = cmp.Or(p.Size, 2)
	p.QueueSize = max(cmp.Or(p.QueueSize, 1000), 0)
	p.QueueTimeout = cmp.Or(p.QueueTimeout, 5*time.Second)
	p.StartTimeout = cmp.Or(p.StartTimeout, time.Minute)
	p.CancelGrace = cmp.Or(p.CancelGrace, 500*time.Millisecond)
	p.SessionTTL = max(cmp.Or(p.SessionTTL, ttl), 0)
	p.Settings.StopTimeout = cmp.Or(p.Settings.StopTimeout, 2*time.Second)
	p.Settings.MaxPayload = cmp.Or(p.Settings.MaxPayload, defaultMaxPayload)
	return p
}

// validate reports everything that's wrong at once.
func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.CallTimeout > 0, "CallTimeout is negative")
	check(c.MaxSessions > 0, "MaxSessions is negative")
	check(c.LaunchLimit > 0, "LaunchLimit is negative")
	check(c.HostToolLimit > 0, "HostToolLimit is negative")
	check(c.Launcher != nil || len(c.Pools) == 0, "Launcher is missing")
	seen := map[string]bool{}
	for _, p := range c.Pools {
		check(!seen[p.Name], "two pools are named %q", names.Cut(p.Name))
		seen[p.Name] = true
		p.validate(check)
	}
	return invalidConfig(errs)
}

func (p PoolConfig) validate(check func(ok bool, format string, args ...any)) {
	name := names.Cut(p.Name)
	check(names.Valid(p.Name), "pool name %q isn't 1 to 64 bytes of letters, digits, '_', '.' and '-'", name)
	check(p.Command.Path != "", "pool %q has no command", name)
	check(p.Size > 0 && p.Size <= maxPoolSize, "pool %q: Size %d isn't 1 to %d", name, p.Size, maxPoolSize)
	check(p.QueueTimeout > 0, "pool %q: QueueTimeout is negative", name)
	check(p.StartTimeout > 0, "pool %q: StartTimeout is negative", name)
	check(p.CancelGrace > 0, "pool %q: CancelGrace is negative", name)
	check(p.Settings.StopTimeout > 0, "pool %q: StopTimeout is negative", name)
	check(p.Settings.MaxPayload > 0, "pool %q: MaxPayload is negative", name)
}

func invalidConfig(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	text := strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
	return errdefs.New(errdefs.InvalidConfig, "%s", text)
}
