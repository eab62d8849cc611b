package config

import "time"

func startKnobs() []Knob {
	const layer = "start"
	return []Knob{
		{
			Name: "start", Kind: Choice, Default: "exec", Choices: []string{"exec", "fork"}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "Whether each worker imports its adapter itself (exec), or is forked from a process that has imported it already (fork), which saves time and memory.",
			slot: in(func(s *Settings) *string { return &s.Start }),
		},
		{
			Name: "start_timeout", Aliases: []Alias{
				{"pool_startup_timeout", Milliseconds}, {"worker_ready_timeout", Milliseconds}, {"grpc_server_ready_timeout", Milliseconds},
			}, Kind: Duration, Default: "1m", Min: "10ms", Max: "24h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long a worker may take from its launch until its adapter is set up.",
			slot: in(func(s *Settings) *time.Duration { return &s.StartTimeout }),
		},
		{
			Name: "start_batch_size", Aliases: []Alias{{"startup_batch_size", Own}, {"pool_startup_batch_size", Own}}, Kind: Int, Default: "unlimited", Min: "1", Max: "10000", Words: unlimited(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many of a pool's workers start together; unlimited: launch_limit alone bounds it.",
			slot: in(func(s *Settings) *int { return &s.StartBatchSize }),
		},
		{
			Name: "start_batch_delay", Aliases: []Alias{{"startup_batch_delay_ms", Milliseconds}, {"pool_startup_batch_delay_ms", Milliseconds}}, Kind: Duration, Default: "0s", Min: "0s", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The pause between one batch of workers and the next.",
			slot: in(func(s *Settings) *time.Duration { return &s.StartBatchDelay }),
		},
		{
			Name: "launch_limit", Kind: Int, Default: "auto", Min: "1", Max: "10000", Words: []Word{{"auto", 0}}, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How many workers of all pools start at once; auto: one a CPU, at least 2.",
			slot: in(func(s *Settings) *int { return &s.LaunchLimit }),
		},
	}
}

func recycleKnobs() []Knob {
	const layer = "recycle"
	return []Knob{
		{
			Name: "max_age", Aliases: []Alias{{"worker_ttl", Own}}, Kind: Duration, Default: "infinity", Min: "1s", Max: "8760h", Words: forever(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "A worker that is older is replaced: another one is started, then it's drained, then stopped.",
			slot: in(func(s *Settings) *time.Duration { return &s.MaxAge }),
		},
		{
			Name: "max_age_jitter", Kind: Number, Default: "0.1", Min: "0", Max: "1", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The part of max_age by which that may come earlier, so that workers that started together aren't replaced together.",
			slot: in(func(s *Settings) *float64 { return &s.MaxAgeJitter }),
		},
		{
			Name: "max_calls", Aliases: []Alias{{"worker_max_requests", Own}}, Kind: Int, Default: "unlimited", Min: "1", Max: "1000000000", Words: unlimited(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "A worker that has run so many calls is replaced.",
			slot: in(func(s *Settings) *int { return &s.MaxCalls }),
		},
		{
			Name: "max_memory", Aliases: []Alias{{"memory_threshold_mb", Mebibytes}}, Kind: Bytes, Default: "unlimited", Min: "1MiB", Max: "64TiB", Words: unlimitedBytes(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "A worker whose process holds more resident memory is replaced.",
			slot: in(func(s *Settings) *int64 { return &s.MaxMemory }),
		},
		{
			Name: "memory_grace", Kind: Duration, Default: "30s", Min: "1ms", Max: "24h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long the calls of a worker above max_memory may go on once the other one is ready.",
			slot: in(func(s *Settings) *time.Duration { return &s.MemoryGrace }),
		},
	}
}

func limitKnobs() []Knob {
	const layer = "limits"
	return []Knob{
		{
			Name: "limit_memory", Kind: Bytes, Default: "unlimited", Min: "16MiB", Max: "64TiB", Words: unlimitedBytes(), Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "The memory that a worker may have, held by its cgroup where that can be written, else as data, in each of its processes by itself.",
			slot: in(func(s *Settings) *int64 { return &s.LimitMemory }),
		},
		{
			Name: "limit_open_files", Kind: Int, Default: "unlimited", Min: "16", Max: "1048576", Words: unlimited(), Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many files and sockets a worker may have open.",
			slot: in(func(s *Settings) *int { return &s.LimitOpenFiles }),
		},
		{
			Name: "limit_processes", Kind: Int, Default: "unlimited", Min: "1", Max: "4194304", Words: unlimited(), Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many processes and threads a worker may have, held by its cgroup where that can be written, else for its user as a whole.",
			slot: in(func(s *Settings) *int { return &s.LimitProcesses }),
		},
		{
			Name: "limit_cpu", Kind: Number, Default: "unlimited", Min: "0.01", Max: "4096", Words: []Word{{"unlimited", 0.0}, {"infinity", 0.0}}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many CPUs' worth of time a worker may take, where its cgroup can be written.",
			slot: in(func(s *Settings) *float64 { return &s.LimitCPU }),
		},
	}
}

func hostKnobs() []Knob {
	const layer = "host"
	return []Knob{
		{
			Name: "node", Kind: Text, Default: "local", Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkName,
			Text: "The host's name in lists, logs and errors.",
			slot: in(func(s *Settings) *string { return &s.Node }),
		},
		{
			Name: "data_dir", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "Where the host keeps its state; --data-dir goes before it; empty: $XDG_STATE_HOME/snakepit, else ~/.local/state/snakepit.",
			slot: in(func(s *Settings) *string { return &s.DataDir }),
		},
		{
			Name: "instance", Aliases: []Alias{{"instance_name", Own}}, Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkName,
			Text: "One of several hosts beside each other on one data directory; --instance goes before it.",
			slot: in(func(s *Settings) *string { return &s.Instance }),
		},
		{
			Name: "machine_id", Kind: Text, Scope: OfHost, Layer: layer, Effect: ByRestart, check: checkName,
			Text: "The machine's identity in the record of processes; empty: /etc/machine-id.",
			slot: in(func(s *Settings) *string { return &s.MachineID }),
		},
		{
			Name: "log_level", Kind: Choice, Default: "error", Choices: []string{"trace", "debug", "info", "warn", "error", "off"}, Words: []Word{{"warning", "warn"}, {"none", "off"}}, Scope: OfHost, Layer: layer, Effect: Live,
			Text: "The least severe log lines that are written, the workers' own included.",
			slot: in(func(s *Settings) *string { return &s.LogLevel }),
		},
		{
			Name: "shutdown_timeout", Kind: Duration, Default: "10s", Min: "1ms", Max: "24h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long running calls may go on when the host stops.",
			slot: in(func(s *Settings) *time.Duration { return &s.ShutdownTimeout }),
		},
		{
			Name: "upgrade_wait", Kind: Duration, Default: "30s", Min: "1ms", Max: "24h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long running calls may go on when another process of the host takes over; what outlasts it fails and may have run.",
			slot: in(func(s *Settings) *time.Duration { return &s.UpgradeWait }),
		},
		{
			Name: "orphan_grace", Kind: Duration, Default: "10s", Min: "0s", Max: "24h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long the workers of a host that died wait for it to come back, with what they hold in memory, before they're killed; 0: not at all. A host without a data directory never comes back.",
			slot: in(func(s *Settings) *time.Duration { return &s.OrphanGrace }),
		},
		{
			Name: "stop_after", Kind: Duration, Default: "10s", Min: "1ms", Max: "24h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long a worker that was frozen at the end of its host's lease is kept before it's killed.",
			slot: in(func(s *Settings) *time.Duration { return &s.StopAfter }),
		},
		{
			Name: "isolation", Kind: Choice, Default: "none", Choices: []string{"none", "pidns"}, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "pidns puts the workers into a PID namespace, so that nothing of them is left even when host, shim and guard are killed at once; it needs root or CAP_SYS_ADMIN, and Linux.",
			slot: in(func(s *Settings) *string { return &s.Isolation }),
		},
		{
			Name: "cgroups", Kind: Choice, Default: "auto", Choices: []string{"auto", "off"}, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "Whether each worker gets a cgroup of its own, by which all that it started is ended, where a cgroup v2 folder can be written.",
			slot: in(func(s *Settings) *string { return &s.Cgroups }),
		},
	}
}
