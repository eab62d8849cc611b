package config

import (
	"slices"
	"time"
)

// Knobs is the table, in the order in which it is shown.
func Knobs() []Knob {
	return slices.Concat(
		workerKnobs(), sizeKnobs(), scheduleKnobs(), callKnobs(), sessionKnobs(),
		startKnobs(), recycleKnobs(), retryKnobs(), barrierKnobs(), breakerKnobs(), heartbeatKnobs(), limitKnobs(), hostKnobs(), clusterKnobs(),
	)
}

func forever() []Word {
	return []Word{{"infinity", Forever}, {"never", Forever}, {"unlimited", Forever}}
}

func unlimited() []Word {
	return []Word{{"unlimited", Unlimited}, {"infinity", Unlimited}, {"never", Unlimited}}
}

func unlimitedBytes() []Word {
	const most = int64(Unlimited)
	return []Word{{"unlimited", most}, {"infinity", most}, {"never", most}}
}

func workerKnobs() []Knob {
	const layer = "worker"
	return []Knob{
		{
			Name: "adapter", Kind: Text, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "The code that has the tools: FILE.py, FILE.py:CLASS, MODULE or MODULE:CLASS, or exec:COMMAND for a worker in another language; in a file, relative to the file's folder.",
			slot: in(func(s *Settings) *string { return &s.Adapter }),
		},
		{
			Name: "python", Aliases: []Alias{{"python_executable", Own}}, Kind: Text, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "The Python interpreter or virtual environment; empty: VIRTUAL_ENV, else python3 on PATH.",
			slot: in(func(s *Settings) *string { return &s.Python }),
		},
		{
			Name: "env", Aliases: []Alias{{"adapter_env", Own}, {"python_extra_env", Own}}, Kind: TextMap, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text:  "Environment variables of the workers, as a map, or K=v,L=w; those of a pool lie over those that are shared.",
			check: checkEnv, slot: over(func(s *Settings) *map[string]string { return &s.Env }),
		},
		{
			Name: "worker_profile", Aliases: []Alias{{"default_worker_profile", Own}}, Kind: Choice, Default: "auto", Choices: []string{"auto", "process", "thread"}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many calls a worker runs at once: one (process), `slots` of them on threads, 10 unless given (thread), or as many as the adapter says (auto).",
			slot: in(func(s *Settings) *string { return &s.WorkerProfile }),
		},
		{
			Name: "slots", Aliases: []Alias{{"threads_per_worker", Own}, {"config_default_threads_per_worker", Own}}, Kind: Int, Default: "auto", Min: "1", Max: "1024", Words: []Word{{"auto", 0}}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many calls a worker runs at once; auto: as `worker_profile` says.",
			slot: in(func(s *Settings) *int { return &s.Slots }),
		},
		{
			Name: "blas_threads", Aliases: []Alias{{"python_thread_limits_openblas", Own}, {"python_thread_limits_omp", Own}, {"python_thread_limits_mkl", Own}, {"python_thread_limits_numexpr", Own}},
			Kind: Int, Default: "1", Min: "1", Max: "1024", Words: []Word{{"unlimited", -1}}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many threads BLAS and OpenMP libraries may start in a worker, so that many workers don't start as many threads as there are CPUs each.",
			slot: in(func(s *Settings) *int { return &s.BLASThreads }),
		},
		{
			Name: "gpus_per_worker", Kind: Int, Default: "0", Min: "0", Max: "64", Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How many GPUs a worker has for itself, by CUDA_VISIBLE_DEVICES; 0: none is assigned, and every worker sees all.",
			slot: in(func(s *Settings) *int { return &s.GPUsPerWorker }),
		},
		{
			Name: "lane", Kind: Choice, Default: "auto", Choices: []string{"auto", "local", "grpc"}, Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "What carries calls to workers: a Unix socket (local), a gRPC stream (grpc), or the better one that's there (auto).",
			slot: in(func(s *Settings) *string { return &s.Lane }),
		},
		{
			Name: "stop_timeout", Aliases: []Alias{{"graceful_shutdown_timeout_ms", Milliseconds}}, Kind: Duration, Default: "2s", Min: "1ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "How long a worker may take to end by itself before it gets SIGTERM, and SIGKILL half a second later.",
			slot: in(func(s *Settings) *time.Duration { return &s.StopTimeout }),
		},
		{
			Name: "probe_timeout", Kind: Duration, Default: "2s", Min: "1ms", Max: "1h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How long a worker may stay stopped by a signal (SIGSTOP, say) before it's killed and its calls fail with worker_hung.",
			slot: in(func(s *Settings) *time.Duration { return &s.ProbeTimeout }),
		},
	}
}

func sizeKnobs() []Knob {
	const layer = "scale"
	return []Knob{
		{
			Name: "pool_size", Aliases: []Alias{{"workers", Own}, {"default_pool_size", Own}}, Kind: Int, Default: "2", Min: "1", Max: "10000", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many workers a pool has; where it grows and shrinks, how many it starts with.",
			slot: in(func(s *Settings) *int { return &s.PoolSize }),
		},
		{
			Name: "max_workers", Aliases: []Alias{{"pool_max_workers", Own}}, Kind: Int, Default: "10000", Min: "1", Max: "10000", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The most workers a pool may have; a larger pool_size or max_size is cut to it, with a warning.",
			slot: in(func(s *Settings) *int { return &s.MaxWorkers }),
		},
		{
			Name: "min_size", Kind: Int, Default: "auto", Min: "0", Max: "10000", Words: []Word{{"auto", -1}}, Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many workers stay when there's nothing to do, 0 included; auto: pool_size.",
			slot: in(func(s *Settings) *int { return &s.MinSize }),
		},
		{
			Name: "max_size", Kind: Int, Default: "off", Min: "1", Max: "10000", Words: []Word{{"off", 0}}, Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many workers the pool may grow to while calls wait; off: its size is fixed.",
			slot: in(func(s *Settings) *int { return &s.MaxSize }),
		},
		{
			Name: "scale_up_delay", Kind: Duration, Default: "100ms", Min: "1ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "A call that waits for longer than this makes the pool grow, where max_size lets it.",
			slot: in(func(s *Settings) *time.Duration { return &s.ScaleUpDelay }),
		},
		{
			Name: "idle_timeout", Kind: Duration, Default: "1m", Min: "10ms", Max: "720h", Words: forever(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "A worker beyond min_size that ran nothing for this long is stopped.",
			slot: in(func(s *Settings) *time.Duration { return &s.IdleTimeout }),
		},
	}
}

func scheduleKnobs() []Knob {
	const layer = "pool"
	return []Knob{
		{
			Name: "queue_size", Aliases: []Alias{{"pool_max_queue_size", Own}, {"max_queue_size", Own}}, Kind: Int, Default: "1000", Min: "0", Max: "1000000", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many calls may wait for a worker; one more is refused with queue_full.",
			slot: in(func(s *Settings) *int { return &s.QueueSize }),
		},
		{
			Name: "queue_timeout", Aliases: []Alias{{"pool_queue_timeout", Milliseconds}, {"checkout_timeout", Milliseconds}}, Kind: Duration, Default: "5s", Min: "1ms", Max: "24h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long a call may wait for a worker before it fails with queue_timeout.",
			slot: in(func(s *Settings) *time.Duration { return &s.QueueTimeout }),
		},
		{
			Name: "affinity", Kind: Choice, Default: "hint", Choices: []string{"hint", "strict_queue", "strict_fail_fast"}, Scope: OfPool, Layer: layer, Effect: Live,
			Text: "What becomes of a session's call when the session's worker is busy: any free one takes it (hint), it waits (strict_queue), or it fails with worker_busy (strict_fail_fast).",
			slot: in(func(s *Settings) *string { return &s.Affinity }),
		},
		{
			Name: "weights", Kind: Counts, Min: "1", Max: "100", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "Callers' shares of the slots beside the others', which have 1, as a map by their names, or a:2,b:3.",
			slot: over(func(s *Settings) *map[string]int { return &s.Weights }),
		},
		{
			Name: "prefetch", Kind: Int, Default: "0", Min: "0", Max: "64", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many calls a worker is given beyond its slots, so that it needn't wait for the next; for tools that take less than a millisecond.",
			slot: in(func(s *Settings) *int { return &s.Prefetch }),
		},
	}
}

func callKnobs() []Knob {
	const layer = "call"
	return []Knob{
		{
			Name: "timeout_profile", Kind: Choice, Default: "standard", Choices: profileNames(), Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "Sets call_timeout, stream_timeout and queue_timeout where they aren't set.",
			slot: in(func(s *Settings) *string { return &s.TimeoutProfile }),
		},
		{
			Name: "call_timeout", Aliases: []Alias{
				{"default_timeout", Milliseconds},
				{"pool_request_timeout", Milliseconds},
				{"default_command_timeout", Milliseconds},
				{"grpc_worker_execute_timeout", Milliseconds},
				{"grpc_command_timeout", Milliseconds},
				{"grpc_client_execute_timeout", Milliseconds},
			}, Kind: Duration, Default: "30s", Min: "1ms", Max: "720h", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "The deadline of a call that brings none, waiting included.",
			slot: in(func(s *Settings) *time.Duration { return &s.CallTimeout }),
		},
		{
			Name: "stream_timeout", Aliases: []Alias{{"pool_streaming_timeout", Milliseconds}, {"grpc_worker_stream_timeout", Milliseconds}},
			Kind: Duration, Default: "15m", Min: "1ms", Max: "720h", Words: forever(), Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "The deadline of a streaming call that brings none, waiting included.",
			slot: in(func(s *Settings) *time.Duration { return &s.StreamTimeout }),
		},
		{
			Name: "cancel_grace", Kind: Duration, Default: "500ms", Min: "1ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long a cancelled tool may go on before its worker is killed and replaced.",
			slot: in(func(s *Settings) *time.Duration { return &s.CancelGrace }),
		},
		{
			Name: "neighbour_grace", Kind: Duration, Default: "2s", Min: "0s", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long the other calls of a worker that must be killed may still take; 0: they end with it.",
			slot: in(func(s *Settings) *time.Duration { return &s.NeighbourGrace }),
		},
		{
			Name: "max_payload", Kind: Bytes, Default: "256MiB", Min: "1KiB", Max: "256MiB", Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "The largest argument map, chunk or result; more is refused with payload_too_large.",
			slot: in(func(s *Settings) *int64 { return &s.MaxPayload }),
		},
		{
			Name: "strict_results", Kind: Bool, Default: "false", Scope: OfPool, Layer: layer, Effect: ByWorkers,
			Text: "A result that can't be encoded is an error with its path, instead of a marker in its place.",
			slot: in(func(s *Settings) *bool { return &s.StrictResults }),
		},
		{
			Name: "host_tool_limit", Kind: Int, Default: "256", Min: "1", Max: "100000", Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How many of the host's own tools run at once for workers; one more is refused.",
			slot: in(func(s *Settings) *int { return &s.HostToolLimit }),
		},
	}
}

func sessionKnobs() []Knob {
	const layer = "session"
	return []Knob{
		{
			Name: "session_ttl", Aliases: []Alias{{"session_default_ttl", Own}}, Kind: Duration, Default: "1h", Min: "1ms", Max: "8760h", Words: forever(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long an unused session lives.",
			slot: in(func(s *Settings) *time.Duration { return &s.SessionTTL }),
		},
		{
			Name: "max_sessions", Aliases: []Alias{{"session_max_sessions", Own}}, Kind: Int, Default: "10000", Min: "1", Max: "1000000", Words: []Word{{"unlimited", 1_000_000}, {"infinity", 1_000_000}}, Scope: OfHost, Layer: layer, Effect: ByRestart,
			Text: "How many sessions may be open; one more is refused with session_quota.",
			slot: in(func(s *Settings) *int { return &s.MaxSessions }),
		},
	}
}
