package embed

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/adapters/exec"
	"github.com/snakepit-go/snakepit/adapters/python"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
)

// poolConfig is a pool as the engine wants it: there zero means a default and a
// negative number nothing, where the configuration says what it means.
func poolConfig(p config.Pool, folder string) (host.PoolConfig, error) {
	cmd, err := commandOf(p, folder)
	if err != nil {
		return host.PoolConfig{}, err
	}
	return withWorkers(p, cmd, workerSettings(p.Settings)), nil
}

// withWorkers is a pool whose workers are known.
func withWorkers(p config.Pool, cmd host.Command, settings host.WorkerSettings) host.PoolConfig {
	k := p.Settings
	return host.PoolConfig{
		Name: p.Name, Command: cmd, Settings: settings,
		Size: k.PoolSize, Scale: scale(k),
		QueueSize: orNone(k.QueueSize), QueueTimeout: k.QueueTimeout,
		Affinity: host.Affinity(k.Affinity), Weights: k.Weights, Prefetch: k.Prefetch, Spill: k.Spill,
		StartBatch: unbounded(k.StartBatchSize, config.Unlimited, 0), StartDelay: k.StartBatchDelay, StartTimeout: k.StartTimeout,
		CancelGrace: k.CancelGrace, NeighbourGrace: orNone(k.NeighbourGrace),
		SessionTTL: unbounded(k.SessionTTL, config.Forever, -1),
		Recycle: host.Recycle{
			MaxAge: unbounded(k.MaxAge, config.Forever, 0), Jitter: orNone(k.MaxAgeJitter), MaxCalls: unbounded(k.MaxCalls, config.Unlimited, 0),
			MaxMemory: unbounded(k.MaxMemory, config.Unlimited, 0), MemoryGrace: k.MemoryGrace,
		},
		Retry:     host.Retry{Attempts: k.RetryMaxAttempts, Backoff: k.RetryBackoff, MaxDelay: k.RetryMaxDelay, Jitter: orNone(k.RetryJitter)},
		Barrier:   barrier(k),
		Breaker:   host.Breaker{Threshold: k.BreakerThreshold, Reset: k.BreakerReset, Probes: k.BreakerProbes},
		Heartbeat: heartbeat(k),
	}
}

func workerSettings(k config.Settings) host.WorkerSettings {
	carrier := k.Lane
	if carrier == "auto" {
		carrier = ""
	}
	return host.WorkerSettings{
		StrictResults: k.StrictResults, MaxPayload: k.MaxPayload, Carrier: carrier, StopTimeout: k.StopTimeout,
		Slots: k.Slots, Fork: k.Start == "fork", Threads: k.BLASThreads, GPUs: k.GPUsPerWorker,
		Limits: host.Limits{
			Memory: unbounded(k.LimitMemory, config.Unlimited, 0), OpenFiles: unbounded(k.LimitOpenFiles, config.Unlimited, 0),
			Processes: unbounded(k.LimitProcesses, config.Unlimited, 0), CPU: k.LimitCPU,
		},
	}
}

func scale(k config.Settings) host.Scale {
	if k.MaxSize == 0 {
		return host.Scale{}
	}
	return host.Scale{Min: k.MinSize, Max: k.MaxSize, QueueDelay: k.ScaleUpDelay, IdleAfter: k.IdleTimeout}
}

func barrier(k config.Settings) host.Barrier {
	if !k.CrashBarrier {
		return host.Barrier{ExitCodes: []int{}, Retries: -1}
	}
	return host.Barrier{
		ExitCodes: k.CrashBarrierExitCodes, ErrorTypes: k.CrashBarrierErrorTypes,
		Taint: k.CrashBarrierTaint, Retries: orNone(k.CrashBarrierRetries),
	}
}

func heartbeat(k config.Settings) host.Heartbeat {
	h := host.Heartbeat{
		Interval: k.HeartbeatInterval, Timeout: k.HeartbeatTimeout, MaxMissed: k.HeartbeatMaxMissed,
		BusyTimeout: unbounded(k.HeartbeatBusyTimeout, config.Forever, 0),
	}
	if !k.Heartbeat {
		h.Interval = -1
	}
	return h
}

// unbounded puts what the engine calls no bound in the place of ours.
func unbounded[T int | int64 | time.Duration](v, none, theirs T) T {
	if v == none {
		return theirs
	}
	return v
}

// orNone makes the engine's nothing of zero, which there means a default.
func orNone[T int | float64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// commandOf asks the adapter's own package how its workers are started. What a
// file says is looked up in the file's folder.
func commandOf(p config.Pool, folder string) (host.Command, error) {
	dir := ""
	if p.Origin("adapter").Kind == config.FromFile {
		dir = folder
	}
	cmd, err := adapterCommand(p.Settings.Adapter, interpreter(p, folder, dir), dir)
	if err != nil {
		return host.Command{}, err
	}
	cmd.Env = environment(cmd.Env, p.Settings.Env)
	return cmd, nil
}

func adapterCommand(adapter, interpreter, dir string) (host.Command, error) {
	if !strings.HasPrefix(adapter, exec.Prefix) {
		return python.Target{Adapter: adapter, Interpreter: interpreter, Dir: dir}.Command()
	}
	target, err := exec.Parse(adapter)
	if err != nil {
		return host.Command{}, err
	}
	target.Dir = dir
	return target.Command()
}

// interpreter is the knob python; where the adapter is looked up elsewhere than the
// interpreter is, a path is made whole.
func interpreter(p config.Pool, folder, dir string) string {
	python, own := p.Settings.Python, ""
	if p.Origin("python").Kind == config.FromFile {
		own = folder
	}
	if python == "" || own == dir || filepath.IsAbs(python) {
		return python
	}
	path, err := filepath.Abs(filepath.Join(own, python))
	if err != nil || !strings.ContainsAny(python, `/\`) && !isFolder(path) {
		return python // a name on PATH
	}
	return path
}

// environment adds variables to those of the adapter. PYTHONPATH is searched after
// the adapter's own.
func environment(ours []string, added map[string]string) []string {
	all := slices.Clone(ours)
	for _, name := range slices.Sorted(maps.Keys(added)) {
		pair := name + "=" + added[name]
		i := slices.IndexFunc(all, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		switch {
		case i >= 0 && name == "PYTHONPATH":
			all[i] += string(filepath.ListSeparator) + added[name]
		case i >= 0:
			all[i] = pair
		default:
			all = append(all, pair)
		}
	}
	return all
}

func isFolder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
