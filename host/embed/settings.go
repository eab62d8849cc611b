package embed

import (
	"cmp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/adapters/exec"
	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// settings are a checked configuration.
type settings struct {
	host  config.Settings
	pools []host.PoolConfig
}

// settle brings both forms of the configuration into one, and checks everything
// that can be checked before anything is started.
func settle(cfg Config) (settings, error) {
	shared, err := config.Parse(cfg.Set)
	if err != nil {
		return settings{}, err
	}
	s := settings{host: shared}
	pools, err := poolsOf(cfg)
	if err != nil {
		return s, err
	}
	for _, p := range pools {
		pc, err := p.settle(cfg.Set)
		if err != nil {
			return s, err
		}
		s.pools = append(s.pools, pc)
	}
	return s, nil
}

func poolsOf(cfg Config) ([]Pool, error) {
	single := cfg.Adapter != "" || cfg.Workers != 0
	switch {
	case single && len(cfg.Pools) > 0:
		return nil, &errdefs.Error{
			Reason: errdefs.InvalidConfig, Message: "both an adapter and pools are given",
			Hint: "use Adapter and Workers for one pool, or Pools for several",
		}
	case len(cfg.Pools) > 0:
		return cfg.Pools, nil
	case cfg.Adapter == "":
		return nil, &errdefs.Error{Reason: errdefs.InvalidConfig, Message: "no adapter given", Hint: "name a Python file, or a module, with tools"}
	}
	return []Pool{{Name: "default", Adapter: cfg.Adapter, Workers: cfg.Workers}}, nil
}

// settle lays the pool's own knobs over the shared ones.
func (p Pool) settle(shared []string) (host.PoolConfig, error) {
	k, err := config.Parse(slices.Concat(shared, p.Set))
	if err != nil {
		return host.PoolConfig{}, err
	}
	cmd, err := commandOf(p.Adapter, k.Python)
	if err != nil {
		return host.PoolConfig{}, err
	}
	carrier := k.Lane
	if carrier == "auto" {
		carrier = ""
	}
	return host.PoolConfig{
		Name:    p.Name,
		Command: cmd,
		Settings: host.WorkerSettings{
			StrictResults: k.StrictResults, MaxPayload: k.MaxPayload, Carrier: carrier, StopTimeout: k.StopTimeout,
		},
		Size: cmp.Or(p.Workers, k.PoolSize), QueueSize: k.QueueSize, QueueTimeout: k.QueueTimeout,
		StartTimeout: k.StartTimeout, CancelGrace: k.CancelGrace, SessionTTL: k.SessionTTL,
	}, nil
}

// commandOf asks the adapter's own package how its workers are started.
func commandOf(adapter, interpreter string) (host.Command, error) {
	if !strings.HasPrefix(adapter, exec.Prefix) {
		return python.Target{Adapter: adapter, Interpreter: interpreter}.Command()
	}
	target, err := exec.Parse(adapter)
	if err != nil {
		return host.Command{}, err
	}
	return target.Command()
}

func (h *Host) engineConfig(l host.Launcher) host.Config {
	k := h.set.host
	cfg := host.Config{
		Node: k.Node, Pools: h.set.pools, Launcher: l, Logger: h.logger,
		CallTimeout: k.CallTimeout, ShutdownTimeout: k.ShutdownTimeout, LeaveWait: k.UpgradeWait, SessionTTL: k.SessionTTL, MaxSessions: k.MaxSessions,
		Machine: host.MachineID{Machine: proc.MachineID(), Boot: proc.BootID(), PIDNamespace: proc.PIDNamespace()},
	}
	if h.registry != nil {
		cfg.Registry = h.registry
	}
	return cfg
}

// version is the module's, as the linker knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
