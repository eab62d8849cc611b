package host

import (
	"cmp"
	"context"
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
	Node     string // the host's name in errors and lists; empty: "local"
	Pools    []PoolConfig
	Registry Registry // nil: in memory, gone with the host
	Peers    Peers    // the other nodes, where Registry is an OwnerRegistry; nil: there are none
	// Adopt takes over the workers of an owner that is dead and was on this machine,
	// those alone whose sessions are all this node's by now. They're survivors of the
	// launcher then, like those of an earlier host. It blocks, for as long as it takes to find
	// out that there are none as well. nil: there's nobody to adopt from.
	Adopt           func(ctx context.Context, from Owner) []Survivor
	Machine         MachineID     // where the host runs, for its records of processes
	Launcher        Launcher      // starts the workers of every pool
	Logger          hclog.Logger  // nil: silent
	Events          func(Event)   // told of everything that happens to pools and workers; it mustn't block; nil: nobody
	CallTimeout     time.Duration // for calls whose context has no deadline; zero: 30 s
	StreamTimeout   time.Duration // the same, for those whose caller takes chunks; zero: CallTimeout
	ShutdownTimeout time.Duration // how long Run lets running calls finish; zero: 10 s; negative: not at all
	LeaveWait       time.Duration // the same, when the workers outlive the host (Host.Leave); zero: 30 s
	SessionTTL      time.Duration // how long an unused session lives; zero: 1 h; negative: for ever
	MaxSessions     int           // open at once; zero: 10,000
	SaveTimeout     time.Duration // how long a worker may take to save a session that's about to move; zero: 5 s
	MaxSaved        int           // bytes that it may save of one; zero: 1 MiB; negative: none
	QuorumWait      time.Duration // how long a session's call waits on a node that has no lease, before it fails with no_quorum; zero: 2 s
	LaunchLimit     int           // workers that start at once; zero: one a CPU, at least 2
	HostToolLimit   int           // host tools that run at once for workers; zero: 256
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
	c.StreamTimeout = cmp.Or(c.StreamTimeout, c.CallTimeout)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 10*time.Second)
	c.LeaveWait = cmp.Or(c.LeaveWait, 30*time.Second)
	c.SessionTTL = cmp.Or(c.SessionTTL, time.Hour)
	c.QuorumWait = cmp.Or(c.QuorumWait, 2*time.Second)
	c.MaxSessions = cmp.Or(c.MaxSessions, 10_000)
	c.SaveTimeout = cmp.Or(c.SaveTimeout, 5*time.Second)
	c.MaxSaved = max(cmp.Or(c.MaxSaved, 1<<20), 0)
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

// validate reports everything that's wrong at once.
func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.CallTimeout > 0, "CallTimeout is negative")
	check(c.StreamTimeout > 0, "StreamTimeout is negative")
	check(c.MaxSessions > 0, "MaxSessions is negative")
	check(c.SaveTimeout > 0, "SaveTimeout is negative")
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

func invalidConfig(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	text := strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
	return errdefs.New(errdefs.InvalidConfig, "%s", text)
}
