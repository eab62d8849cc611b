package config

import "strings"

// former is a name of the Elixir project that has no counterpart.
type former struct {
	name string // one that ends in _ stands for all that begin so
	why  string // what there is instead, or why there's nothing
}

// gone are the names of the Elixir project that mean nothing here. An unknown one
// in a file is told why; `config migrate` leaves it as a comment.
func gone() []former {
	return []former{
		{"pooling_enabled", "a host always has its pools; leave it out"},
		{"adapter_module", "name the Python code itself, with adapter: FILE.py or MODULE:CLASS"},
		{"adapter_args", "name the Python code itself, with adapter: FILE.py or MODULE:CLASS"},
		{"adapter_spec", "name the Python code itself, with adapter: FILE.py or MODULE:CLASS"},
		{"capacity_strategy", "a worker's slots are counted in one place now; slots says how many there are"},
		{"default_capacity_strategy", "a worker's slots are counted in one place now; slots says how many there are"},
		{"grpc_batch_inference_timeout", "no tool's name has a meaning; give the call its deadline"},
		{"grpc_large_dataset_timeout", "no tool's name has a meaning; give the call its deadline"},
		{"worker_call_margin_ms", "deadlines travel with the call and shrink by themselves"},
		{"pool_reply_margin_ms", "deadlines travel with the call and shrink by themselves"},
		{"pool_await_ready_timeout", "whoever starts the host says how long it waits"},
		{"pool_max_cancelled_", "a cancelled call leaves its queue at once, and nothing is kept of it"},
		{"pool_cancelled_", "a cancelled call leaves its queue at once, and nothing is kept of it"},
		{"pool_reconcile_", "dead workers are replaced at once, with a pause that grows and shrinks by itself"},
		{"worker_starter_", "dead workers are replaced at once, with a pause that grows and shrinks by itself"},
		{"worker_supervisor_", "dead workers are replaced at once, with a pause that grows and shrinks by itself"},
		{"shutdown_margin_ms", "stop_timeout says how long a worker may take to end"},
		{"grpc_worker_health_check_interval", "heartbeat_interval says how often workers are probed"},
		{"health_check_timeout_ms", "heartbeat_timeout says how long an answer may take"},
		{"grpc_worker_health_check_timeout_ms", "heartbeat_timeout says how long an answer may take"},
		{"heartbeat_initial_delay_ms", "probes begin with the first interval"},
		{"heartbeat_dependent", "a worker always ends with its host, after orphan_grace"},
		{"executor_batch_timeout", "there is no batch executor; give each call its deadline"},
		{"health_monitor_", "the circuit breaker counts crashes: breaker_threshold"},
		{"retry_backoff_sequence", "retry_backoff doubles with each attempt, up to retry_max_delay"},
		{"retry_multiplier", "retry_backoff doubles with each attempt, up to retry_max_delay"},
		{"crash_barrier_retry", "only idempotent calls are run again; crash_barrier_retries: 0 stops that too"},
		{"crash_barrier_backoff_ms", "a crashed call goes to another worker at once"},
		{"crash_barrier_mark_on", "crash_barrier_exit_codes: 139 for a segfault, 134 for an abort, 137 for a kill"},
		{"crash_barrier_checkout_timeout", "a call that is run again waits like any other: queue_timeout"},
		{"crash_barrier_taint_device_on_cuda_fatal", "a fatal CUDA error always taints its device"},
		{"crash_barrier_max_retries", "crash_barrier_retries"},
		{"cleanup_", "ends of processes are awaited by the kernel's own word, and nothing is polled"},
		{"lifecycle_", "ages, calls and memory are looked at where they change"},
		{"session_cleanup_interval", "sessions expire by themselves"},
		{"session_warning_threshold", "a warning is logged near max_sessions"},
		{"session_store", "max_sessions and session_ttl"},
		{"process_registry_", "processes are kept in the ledger, and found without polling"},
		{"unregister_cleanup_", "processes are kept in the ledger, and found without polling"},
		{"grpc_listener", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_port", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_host", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_num_acceptors", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_max_connections", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_socket_backlog", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"grpc_stream_", "chunks flow under credit, and open with their call"},
		{"elixir_address", "workers are reached over Unix sockets of their own; nothing listens on a port"},
		{"process_group_kill", "all that a worker started ends with it, always"},
		{"affinity_cache_ttl_seconds", "a session's worker isn't cached, it's known"},
		{"rogue_cleanup", "only what is verifiably ours is ever killed; snakepit cleanup lists it"},
		{"instance_token", "each host has one of its own"},
		{"log_categories", "log_level"},
		{"library_mode", "log_level: error is the default, and says nothing while nothing is wrong"},
		{"grpc_log_level", "log_level"},
		{"grpc_request_logging", "log_level: debug"},
		{"log_python_output", "log_level: info shows what workers write"},
		{"telemetry_log_level", "log_level"},
		{"telemetry_metrics", "this version has no exporter of metrics"},
		{"opentelemetry", "this version has no exporter of traces"},
		{"enable_otlp", "this version has no exporter of traces"},
		{"python_", "python names an interpreter or an environment that's there already"},
		{"auto_install_python_deps", "python names an environment that's there already"},
		{"require_python_313", "python names the interpreter"},
		{"thread_safety_checks", "tools of a thread pool must be safe; nothing can check that for them"},
		{"zero_copy", "large payloads take the fastest way there is by themselves"},
		{"environment", "env sets the workers' environment variables"},
		{"bootstrap_project_root", "nothing is bootstrapped"},
		{"env_doctor_runner", "it was there for tests"},
	}
}

// formerName begins what is said of a name that has no counterpart.
const formerName = "it's a name of the Elixir project, without a counterpart: "

// whyGone says what came of a name of the Elixir project; empty: it isn't one.
func whyGone(name string) string {
	for _, f := range gone() {
		whole := strings.TrimSuffix(f.name, "_")
		if name == f.name || name == whole || strings.HasPrefix(name, whole+"_") && (strings.HasSuffix(f.name, "_") || nested(f.name)) {
			return formerName + f.why
		}
	}
	return ""
}

// nested reports whether a former name was a map, whose keys are gone with it.
func nested(name string) bool {
	switch name {
	case "grpc_listener", "rogue_cleanup", "telemetry_metrics", "opentelemetry", "session_store", "adapter_spec", "zero_copy":
		return true
	}
	return false
}
