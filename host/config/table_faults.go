package config

import "time"

func retryKnobs() []Knob {
	const layer = "retry"
	return []Knob{
		{
			Name: "retry_max_attempts", Kind: Int, Default: "3", Min: "1", Max: "20", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How often a call that met a passing fault is tried in all; only what never reached a worker, or is idempotent, is tried again.",
			slot: in(func(s *Settings) *int { return &s.RetryMaxAttempts }),
		},
		{
			Name: "retry_backoff", Aliases: []Alias{{"retry_base", Milliseconds}, {"retry_base_delay_ms", Milliseconds}, {"retry_backoff_base_ms", Milliseconds}}, Kind: Duration, Default: "20ms", Min: "1ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The pause before the second attempt; it doubles with each.",
			slot: in(func(s *Settings) *time.Duration { return &s.RetryBackoff }),
		},
		{
			Name: "retry_max_delay", Aliases: []Alias{{"retry_max", Milliseconds}, {"retry_max_backoff_ms", Milliseconds}, {"retry_max_delay_ms", Milliseconds}}, Kind: Duration, Default: "2s", Min: "1ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The longest pause between two attempts.",
			slot: in(func(s *Settings) *time.Duration { return &s.RetryMaxDelay }),
		},
		{
			Name: "retry_jitter", Aliases: []Alias{{"retry_jitter_factor", Own}}, Kind: Number, Default: "0.25", Min: "0", Max: "1", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The part of a pause that is random.",
			slot: in(func(s *Settings) *float64 { return &s.RetryJitter }),
		},
	}
}

func barrierKnobs() []Knob {
	const layer = "crash barrier"
	return []Knob{
		{
			Name: "crash_barrier", Aliases: []Alias{{"crash_barrier_enabled", Own}}, Kind: Bool, Default: "true", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "Whether calls are kept away from workers that have shown that something below Python is broken.",
			slot: in(func(s *Settings) *bool { return &s.CrashBarrier }),
		},
		{
			Name: "crash_barrier_exit_codes", Aliases: []Alias{{"crash_barrier_taint_on_exit_codes", Own}}, Kind: Ints, Default: "139, 134, 137", Min: "0", Max: "255", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "Exit codes of a worker that taint its place; 139 stands for SIGSEGV, 134 for SIGABRT, 137 for SIGKILL.",
			slot: in(func(s *Settings) *[]int { return &s.CrashBarrierExitCodes }),
		},
		{
			Name: "crash_barrier_error_types", Aliases: []Alias{{"crash_barrier_taint_on_error_types", Own}}, Kind: Texts, Scope: OfPool, Layer: layer, Effect: Live,
			Text:  "Python exceptions, by class with or without module, after which a worker isn't used again.",
			check: checkErrorTypes, slot: in(func(s *Settings) *[]string { return &s.CrashBarrierErrorTypes }),
		},
		{
			Name: "crash_barrier_taint", Aliases: []Alias{{"crash_barrier_taint_duration_ms", Milliseconds}, {"taint_duration_ms", Milliseconds}}, Kind: Duration, Default: "0s", Min: "0s", Max: "24h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long a tainted device or place stays empty.",
			slot: in(func(s *Settings) *time.Duration { return &s.CrashBarrierTaint }),
		},
		{
			Name: "crash_barrier_retries", Aliases: []Alias{{"crash_barrier_max_restarts", Own}}, Kind: Int, Default: "1", Min: "0", Max: "20", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How often an idempotent call whose worker crashed is run again.",
			slot: in(func(s *Settings) *int { return &s.CrashBarrierRetries }),
		},
	}
}

func breakerKnobs() []Knob {
	const layer = "breaker"
	return []Knob{
		{
			Name: "breaker_threshold", Aliases: []Alias{{"circuit_breaker_failure_threshold", Own}}, Kind: Int, Default: "5", Min: "1", Max: "1000000", Words: []Word{{"off", -1}}, Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many crashes of a pool's workers in a row, without a success between them, make it refuse calls with circuit_open.",
			slot: in(func(s *Settings) *int { return &s.BreakerThreshold }),
		},
		{
			Name: "breaker_reset", Aliases: []Alias{{"circuit_breaker_reset_timeout_ms", Milliseconds}}, Kind: Duration, Default: "30s", Min: "1ms", Max: "24h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long it refuses them before it lets some through again.",
			slot: in(func(s *Settings) *time.Duration { return &s.BreakerReset }),
		},
		{
			Name: "breaker_probes", Aliases: []Alias{{"circuit_breaker_half_open_max_calls", Own}}, Kind: Int, Default: "1", Min: "1", Max: "1000", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many calls are let through to see whether it's over.",
			slot: in(func(s *Settings) *int { return &s.BreakerProbes }),
		},
	}
}

func heartbeatKnobs() []Knob {
	const layer = "heartbeat"
	return []Knob{
		{
			Name: "heartbeat", Aliases: []Alias{{"heartbeat_enabled", Own}}, Kind: Bool, Default: "true", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "Whether workers are probed, so that one that hangs is found and replaced.",
			slot: in(func(s *Settings) *bool { return &s.Heartbeat }),
		},
		{
			Name: "heartbeat_interval", Aliases: []Alias{{"heartbeat_ping_interval_ms", Milliseconds}, {"heartbeat_interval_ms", Milliseconds}}, Kind: Duration, Default: "2s", Min: "10ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "The time between two probes of a worker.",
			slot: in(func(s *Settings) *time.Duration { return &s.HeartbeatInterval }),
		},
		{
			Name: "heartbeat_timeout", Aliases: []Alias{{"heartbeat_timeout_ms", Milliseconds}}, Kind: Duration, Default: "10s", Min: "10ms", Max: "1h", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long the answer to a probe may take.",
			slot: in(func(s *Settings) *time.Duration { return &s.HeartbeatTimeout }),
		},
		{
			Name: "heartbeat_max_missed", Aliases: []Alias{{"heartbeat_max_missed_heartbeats", Own}}, Kind: Int, Default: "3", Min: "1", Max: "1000", Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How many unanswered probes in a row, while a worker has nothing to do, mean that it hangs.",
			slot: in(func(s *Settings) *int { return &s.HeartbeatMaxMissed }),
		},
		{
			Name: "heartbeat_busy_timeout", Kind: Duration, Default: "infinity", Min: "10ms", Max: "720h", Words: forever(), Scope: OfPool, Layer: layer, Effect: Live,
			Text: "How long a worker that runs a call may leave probes unanswered, as a tool that holds the GIL in C does; infinity: as long as its calls may take.",
			slot: in(func(s *Settings) *time.Duration { return &s.HeartbeatBusyTimeout }),
		},
	}
}
