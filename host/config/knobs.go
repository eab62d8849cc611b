package config

import "time"

// Settings are the knobs' values.
type Settings struct {
	PoolSize        int
	QueueSize       int
	QueueTimeout    time.Duration
	CallTimeout     time.Duration
	StartTimeout    time.Duration
	CancelGrace     time.Duration
	StopTimeout     time.Duration
	ShutdownTimeout time.Duration
	OrphanGrace     time.Duration
	StopAfter       time.Duration
	ProbeTimeout    time.Duration
	UpgradeWait     time.Duration
	Isolation       string
	Cgroups         string
	SessionTTL      time.Duration
	MaxSessions     int
	MaxPayload      int64
	StrictResults   bool
	Lane            string
	Python          string
	LogLevel        string
	Node            string
}

// Knobs is the table, in the order in which it is shown.
func Knobs() []Knob {
	return []Knob{
		{
			Name: "pool_size", Kind: Int, Default: "2", Min: "1", Max: "10000", Layer: "pool",
			Text: "How many workers a pool has.", set: into(func(s *Settings) *int { return &s.PoolSize }),
		},
		{
			Name: "queue_size", Kind: Int, Default: "1000", Min: "1", Max: "1000000", Layer: "pool",
			Text: "How many calls may wait for a worker; one more is refused with queue_full.", set: into(func(s *Settings) *int { return &s.QueueSize }),
		},
		{
			Name: "queue_timeout", Kind: Duration, Default: "5s", Min: "1ms", Max: "24h", Layer: "pool",
			Text: "How long a call may wait for a worker before it fails with queue_timeout.", set: into(func(s *Settings) *time.Duration { return &s.QueueTimeout }),
		},
		{
			Name: "call_timeout", Kind: Duration, Default: "30s", Min: "1ms", Max: "720h", Layer: "call",
			Text: "The deadline of a call that brings none, waiting included.", set: into(func(s *Settings) *time.Duration { return &s.CallTimeout }),
		},
		{
			Name: "cancel_grace", Kind: Duration, Default: "500ms", Min: "1ms", Max: "1h", Layer: "call",
			Text: "How long a cancelled tool may go on before its worker is killed and replaced.", set: into(func(s *Settings) *time.Duration { return &s.CancelGrace }),
		},
		{
			Name: "max_payload", Kind: Bytes, Default: "256MiB", Min: "1KiB", Max: "256MiB", Layer: "call",
			Text: "The largest argument map, chunk or result; more is refused with payload_too_large.", set: into(func(s *Settings) *int64 { return &s.MaxPayload }),
		},
		{
			Name: "strict_results", Kind: Bool, Default: "false", Layer: "call",
			Text: "A result that can't be encoded is an error with its path, instead of a marker in its place.", set: into(func(s *Settings) *bool { return &s.StrictResults }),
		},
		{
			Name: "session_ttl", Kind: Duration, Default: "1h", Min: "1ms", Max: "8760h", Layer: "session",
			Text: "How long an unused session lives.", set: into(func(s *Settings) *time.Duration { return &s.SessionTTL }),
		},
		{
			Name: "max_sessions", Kind: Int, Default: "10000", Min: "1", Max: "10000000", Layer: "session",
			Text: "How many sessions may be open; one more is refused with session_quota.", set: into(func(s *Settings) *int { return &s.MaxSessions }),
		},
		{
			Name: "python", Kind: Text, Default: "", Layer: "worker",
			Text: "The Python interpreter or virtual environment; empty: VIRTUAL_ENV, else python3 on PATH.", set: into(func(s *Settings) *string { return &s.Python }),
		},
		{
			Name: "start_timeout", Kind: Duration, Default: "60s", Min: "10ms", Max: "24h", Layer: "worker",
			Text: "How long a worker may take from its launch until its adapter is set up.", set: into(func(s *Settings) *time.Duration { return &s.StartTimeout }),
		},
		{
			Name: "stop_timeout", Kind: Duration, Default: "2s", Min: "1ms", Max: "1h", Layer: "worker",
			Text: "How long a worker may take to end by itself before it gets SIGTERM, and SIGKILL half a second later.", set: into(func(s *Settings) *time.Duration { return &s.StopTimeout }),
		},
		{
			Name: "lane", Kind: Choice, Default: "auto", Choices: []string{"auto", "local", "grpc"}, Layer: "worker",
			Text: "What carries calls to workers: a Unix socket (local), a gRPC stream (grpc), or the better one that's there (auto).", set: into(func(s *Settings) *string { return &s.Lane }),
		},
		{
			Name: "probe_timeout", Kind: Duration, Default: "2s", Min: "1ms", Max: "1h", Layer: "worker",
			Text: "How long a worker may stay stopped by a signal (SIGSTOP, say) before it's killed and its calls fail with worker_hung.", set: into(func(s *Settings) *time.Duration { return &s.ProbeTimeout }),
		},
		{
			Name: "isolation", Kind: Choice, Default: "none", Choices: []string{"none", "pidns"}, Layer: "host",
			Text: "pidns puts the workers into a PID namespace, so that nothing of them is left even when host, shim and guard are killed at once; it needs root or CAP_SYS_ADMIN, and Linux.", set: into(func(s *Settings) *string { return &s.Isolation }),
		},
		{
			Name: "cgroups", Kind: Choice, Default: "auto", Choices: []string{"auto", "off"}, Layer: "host",
			Text: "Whether each worker gets a cgroup of its own, by which all that it started is ended, where a cgroup v2 folder can be written.", set: into(func(s *Settings) *string { return &s.Cgroups }),
		},
		{
			Name: "orphan_grace", Kind: Duration, Default: "10s", Min: "0s", Max: "24h", Layer: "host",
			Text: "How long the workers of a host that died wait for it to come back, with what they hold in memory, before they're killed; 0: not at all. A host without a data directory never comes back.", set: into(func(s *Settings) *time.Duration { return &s.OrphanGrace }),
		},
		{
			Name: "stop_after", Kind: Duration, Default: "10s", Min: "1ms", Max: "24h", Layer: "host",
			Text: "How long a worker that was frozen at the end of its host's lease is kept before it's killed.", set: into(func(s *Settings) *time.Duration { return &s.StopAfter }),
		},
		{
			Name: "upgrade_wait", Kind: Duration, Default: "30s", Min: "1ms", Max: "24h", Layer: "host",
			Text: "How long running calls may go on when another process of the host takes over; what outlasts it fails and may have run.", set: into(func(s *Settings) *time.Duration { return &s.UpgradeWait }),
		},
		{
			Name: "shutdown_timeout", Kind: Duration, Default: "10s", Min: "1ms", Max: "24h", Layer: "host",
			Text: "How long running calls may go on when the host stops.", set: into(func(s *Settings) *time.Duration { return &s.ShutdownTimeout }),
		},
		{
			Name: "log_level", Kind: Choice, Default: "error", Choices: []string{"trace", "debug", "info", "warn", "error", "off"}, Layer: "host",
			Text: "The least severe log lines that are written, the workers' own included.", set: into(func(s *Settings) *string { return &s.LogLevel }),
		},
		{
			Name: "node", Kind: Text, Default: "local", Layer: "host",
			Text: "The host's name in lists, logs and errors.", set: into(func(s *Settings) *string { return &s.Node }),
		},
	}
}

// into makes a setter of a field's address.
func into[T any](field func(*Settings) *T) func(*Settings, any) {
	return func(s *Settings, v any) {
		if v, ok := v.(T); ok {
			*field(s) = v
		}
	}
}
