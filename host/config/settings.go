package config

import (
	"maps"
	"time"
)

// Settings are the values of all knobs, for one pool or for those that are shared.
// Forever and Unlimited stand for what has no bound.
type Settings struct {
	// Of the host.
	Node            string
	DataDir         string
	Instance        string
	MachineID       string
	LogLevel        string
	TimeoutProfile  string
	CallTimeout     time.Duration
	StreamTimeout   time.Duration
	MaxSessions     int
	LaunchLimit     int // zero: one a CPU, at least 2
	HostToolLimit   int
	MaxWorkers      int
	ProbeTimeout    time.Duration
	OrphanGrace     time.Duration
	StopAfter       time.Duration
	UpgradeWait     time.Duration
	ShutdownTimeout time.Duration
	Isolation       string
	Cgroups         string

	// Of the host: its cluster.
	ClusterListen    string // empty: it's no node of one
	ClusterAdvertise string
	Join             []string
	JoinToken        string
	TLSDir           string
	Timing           string
	RehomeAfter      time.Duration

	// Of a pool: what its workers are.
	Adapter       string
	Python        string
	Env           map[string]string
	WorkerProfile string
	Slots         int // zero: as the adapter says
	Lane          string
	MaxPayload    int64
	StrictResults bool
	BLASThreads   int
	GPUsPerWorker int

	// Of a pool: its size, its queue and its sessions.
	PoolSize     int
	MinSize      int // negative: PoolSize
	MaxSize      int // zero: the pool is fixed
	ScaleUpDelay time.Duration
	IdleTimeout  time.Duration
	QueueSize    int
	QueueTimeout time.Duration
	Affinity     string
	Weights      map[string]int
	Prefetch     int
	SessionTTL   time.Duration

	// Of a pool: how workers start and stop, and when they're replaced.
	Start           string
	StartBatchSize  int
	StartBatchDelay time.Duration
	StartTimeout    time.Duration
	StopTimeout     time.Duration
	CancelGrace     time.Duration
	NeighbourGrace  time.Duration
	MaxAge          time.Duration
	MaxAgeJitter    float64
	MaxCalls        int
	MaxMemory       int64
	MemoryGrace     time.Duration

	// Of a pool: faults.
	RetryMaxAttempts       int
	RetryBackoff           time.Duration
	RetryMaxDelay          time.Duration
	RetryJitter            float64
	CrashBarrier           bool
	CrashBarrierExitCodes  []int
	CrashBarrierErrorTypes []string
	CrashBarrierTaint      time.Duration
	CrashBarrierRetries    int
	BreakerThreshold       int
	BreakerReset           time.Duration
	BreakerProbes          int
	Heartbeat              bool
	HeartbeatInterval      time.Duration
	HeartbeatTimeout       time.Duration
	HeartbeatMaxMissed     int
	HeartbeatBusyTimeout   time.Duration

	// Of a pool: limits.
	LimitMemory    int64
	LimitOpenFiles int
	LimitProcesses int
	LimitCPU       float64 // zero: none
}

// slot is a knob's place in Settings.
type slot struct {
	set func(*Settings, any) // lays a value over what was there
	put func(*Settings, any) // puts it in its place
	get func(*Settings) any
}

// in is the place of a value.
func in[T any](field func(*Settings) *T) slot {
	put := func(s *Settings, v any) {
		if v, ok := v.(T); ok {
			*field(s) = v
		}
	}
	return slot{set: put, put: put, get: func(s *Settings) any { return *field(s) }}
}

// over is the place of a map: what is set lies over what was there, key by key.
func over[T any](field func(*Settings) *map[string]T) slot {
	s := in(field)
	s.set = func(s *Settings, v any) {
		added, _ := v.(map[string]T)
		merged := maps.Clone(*field(s))
		if merged == nil {
			merged = map[string]T{}
		}
		maps.Copy(merged, added)
		*field(s) = merged
	}
	return s
}
