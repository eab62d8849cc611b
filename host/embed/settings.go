package embed

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// settings are a checked configuration.
type settings struct {
	src    config.Sources   // what it was read of, without what is set for all hosts
	over   config.Overrides // what is set for all hosts
	loaded *config.Config
	host   config.Settings
	pools  []host.PoolConfig
}

// settle brings everything that's configured into one, and checks what can be
// checked before anything is started. over is what is set for all hosts.
func settle(cfg Config, over config.Overrides) (settings, error) {
	src, err := cfg.sources()
	if err != nil {
		return settings{}, err
	}
	loaded, err := load(src, over)
	if err != nil {
		return settings{}, err
	}
	s := settings{src: src, over: over, loaded: loaded, host: loaded.Settings}
	if len(loaded.Pools) == 0 {
		return s, &errdefs.Error{Reason: errdefs.InvalidConfig, Message: "no adapter given", Hint: "name a Python file, or a module, with tools"}
	}
	for _, p := range loaded.Pools {
		pc, err := poolConfig(p, loaded.Folder())
		if err != nil {
			return s, at(err, p, loaded.Multi)
		}
		s.pools = append(s.pools, pc)
	}
	return s, nil
}

// at says which pool is wrong, where there are several.
func at(err error, p config.Pool, several bool) error {
	e := *errdefs.Of(err)
	if several {
		e.Message = "pool " + p.Name + ": " + e.Message
	}
	return &e
}

// load checks sources, with what is set for all hosts over them.
func load(src config.Sources, over config.Overrides) (*config.Config, error) {
	src.Overrides = over
	return config.Load(src)
}

// sources reads what the configuration consists of.
func (cfg Config) sources() (config.Sources, error) {
	yaml, err := readFile(cfg.File)
	if err != nil {
		return config.Sources{}, err
	}
	src := config.Sources{File: cfg.File, YAML: yaml, Environ: cfg.Environ, Flags: flags(cfg.Set, cfg.Adapter, cfg.Workers)}
	for _, p := range cfg.Pools {
		src.Pools = append(src.Pools, config.Named{Name: p.Name, Flags: flags(p.Set, p.Adapter, p.Workers)})
	}
	return src, nil
}

// flags are knobs as the fields of a Config or a Pool have them.
func flags(set []string, adapter string, workers int) []config.Flag {
	var all []config.Flag
	for _, pair := range set {
		all = append(all, config.Flag{Name: "Set", Pair: pair})
	}
	if adapter != "" {
		all = append(all, config.Flag{Name: "Adapter", Pair: "adapter=" + adapter, One: true})
	}
	if workers != 0 {
		all = append(all, config.Flag{Name: "Workers", Pair: "pool_size=" + strconv.Itoa(workers), One: true})
	}
	return all
}

// readFile reads a configuration, as much as one may have and a little more.
func readFile(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, config.MaxFile+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	return text, nil
}

func fileError(name string, err error) error {
	e := errdefs.Wrap(errdefs.InvalidConfig, err, "configuration %s", name)
	e.Hint = "give the path of a YAML file; `snakepit config defaults` prints one to begin with"
	return e
}

// quorumWait is how long a session's call waits on a node without a lease, on a fast
// network: an election there takes one second.
const quorumWait = 2 * time.Second

func (h *Host) engineConfig(l host.Launcher) host.Config {
	k := h.set.host
	cfg := host.Config{
		Node: k.Node, Pools: h.set.pools, Launcher: l, Logger: h.logger,
		CallTimeout: k.CallTimeout, StreamTimeout: k.StreamTimeout, ShutdownTimeout: k.ShutdownTimeout, LeaveWait: k.UpgradeWait,
		QuorumWait: cluster.Patience(k.Timing, quorumWait),
		SessionTTL: unbounded(k.SessionTTL, config.Forever, -1), MaxSessions: k.MaxSessions,
		LaunchLimit: k.LaunchLimit, HostToolLimit: k.HostToolLimit,
		Machine: h.machine(), Peers: h.reach(), SaveTimeout: k.SaveTimeout, MaxSaved: orNone(int(k.MaxSaved)),
	}
	if h.registry != nil {
		cfg.Registry = h.registry
	}
	if h.node != nil {
		cfg.Adopt = h.newNeighbours().adopt
	}
	return cfg
}

// logWarnings tells what is odd about the configuration.
func (h *Host) logWarnings(warnings []config.Warning) {
	for _, w := range warnings {
		h.logger.Warn(fmt.Sprintf("configuration: %s", w))
	}
}

// version is the module's, as the linker knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
