package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/config"
)

// migrated translates a script and loads what comes of it.
func migrated(t *testing.T, script string, environ ...string) (*config.Config, config.Migration) {
	t.Helper()
	m := config.Migrate("config.exs", []byte(script))
	c, err := config.Load(config.Sources{File: "migrated.yaml", YAML: []byte(m.YAML), Environ: environ})
	if err != nil {
		t.Fatalf("%v\n%s", err, m.YAML)
	}
	return c, m
}

func TestOnePoolIsMigrated(t *testing.T) {
	t.Parallel()
	c, m := migrated(t, `
import Config
config :snakepit,
  pooling_enabled: true,
  adapter_module: Snakepit.Adapters.GRPCPython,
  adapter_args: ["--adapter", "my_app.tools.Calculator"],
  pool_size: 6,
  pool_queue_timeout: 2_500,
  queue_timeout: 2500,
  pool_request_timeout: System.get_env("REQUEST_MS", "60000"),
  worker_ttl: {30, :minutes},
  worker_max_requests: 1_000,
  memory_threshold_mb: 512,
  log_level: :warning,
  session_max_sessions: :infinity,
  heartbeat: %{enabled: true, ping_interval_ms: 500, timeout_ms: 3000, max_missed_heartbeats: 5, dependent: true},
  crash_barrier: %{enabled: false, taint_duration_ms: 60_000, max_restarts: 2, taint_on_exit_codes: [139, 134]},
  python_thread_limits: %{openblas: 2, omp: 2, grpc_poll_threads: 1},
  circuit_breaker_failure_threshold: 9,
  adapter_env: [{"MODE", "fast"}, {"COST", "$5"}],
  grpc_listener: %{mode: :internal, port: 0}
config :snakepit, :affinity, :strict_fail_fast
config :snakepit, pool_config: %{pool_size: 3, startup_batch_size: 4, startup_batch_delay_ms: 750}
`, "REQUEST_MS=")
	if len(m.Problems) != 0 {
		t.Errorf("problems: %v", m.Problems)
	}
	s := c.Pools[0].Settings
	for what, ok := range map[string]bool{
		"adapter": s.Adapter == "my_app.tools:Calculator", "pool_size": s.PoolSize == 6, "queue_timeout": s.QueueTimeout == 2500*time.Millisecond,
		"call_timeout": c.CallTimeout == time.Minute, "max_age": s.MaxAge == 30*time.Minute, "max_calls": s.MaxCalls == 1000, "max_memory": s.MaxMemory == 512<<20,
		"log_level": c.LogLevel == "warn", "max_sessions": c.MaxSessions == 1_000_000, "heartbeat": s.Heartbeat && s.HeartbeatInterval == 500*time.Millisecond,
		"heartbeat_timeout": s.HeartbeatTimeout == 3*time.Second && s.HeartbeatMaxMissed == 5, "crash_barrier": !s.CrashBarrier && s.CrashBarrierTaint == time.Minute,
		"crash_barrier_retries": s.CrashBarrierRetries == 2 && len(s.CrashBarrierExitCodes) == 2, "blas_threads": s.BLASThreads == 2, "breaker": s.BreakerThreshold == 9,
		"env": s.Env["MODE"] == "fast" && s.Env["COST"] == "$5", "affinity": s.Affinity == "strict_fail_fast",
		"start_batch": s.StartBatchSize == 4 && s.StartBatchDelay == 750*time.Millisecond,
	} {
		if !ok {
			t.Errorf("%s isn't as it was:\n%s", what, m.YAML)
		}
	}
	for _, want := range []string{"# pooling_enabled (line 4): ", "# adapter_module (line 5): ", "# heartbeat_dependent (line ", "# python_thread_limits_grpc_poll_threads", "# grpc_listener (line "} {
		if !strings.Contains(m.YAML, want) {
			t.Errorf("%q isn't there:\n%s", want, m.YAML)
		}
	}
	later, _ := migrated(t, `config :snakepit, pool_request_timeout: System.get_env("REQUEST_MS", "60000")`, "REQUEST_MS=5000")
	if later.CallTimeout != 5*time.Second {
		t.Errorf("the variable gives %s, want 5s", later.CallTimeout)
	}
}

func TestSeveralPoolsAreMigrated(t *testing.T) {
	t.Parallel()
	c, m := migrated(t, `
config :snakepit,
  pool_size: 99,
  timeout_profile: :ml_inference,
  pools: [
    %{name: :web, worker_profile: :process, pool_size: 4, adapter_args: ["--adapter", "web.Web"], affinity: "strict_queue"},
    %{name: "ml", worker_profile: :thread, threads_per_worker: 16, adapter_args: ["--adapter", "ml.Model", "--max-workers", "16"], worker_ttl: :infinity, session_default_ttl: 60},
    %{name: :bare, capacity_strategy: :pool}
  ]
`)
	if len(c.Pools) != 3 || !c.Multi {
		t.Fatalf("%d pools\n%s", len(c.Pools), m.YAML)
	}
	web, ml, bare := c.Pools[0].Settings, c.Pools[1].Settings, c.Pools[2].Settings
	if web.PoolSize != 4 || web.Affinity != "strict_queue" || web.Slots != 1 || web.Adapter != "web:Web" {
		t.Errorf("web: %+v", web)
	}
	if ml.PoolSize != 2 || ml.Slots != 16 || ml.MaxAge != config.Forever || ml.SessionTTL != time.Minute {
		t.Errorf("ml: %+v", ml)
	}
	if bare.Adapter != "change_me" || c.CallTimeout != 15*time.Minute {
		t.Errorf("bare: %+v, %s", bare, c.CallTimeout)
	}
	var lines []int
	for _, p := range m.Problems {
		lines = append(lines, p.Line)
	}
	if len(lines) != 2 || lines[0] != 7 || lines[1] != 8 {
		t.Errorf("problems %v", m.Problems)
	}
}

func TestWhatCantBeTranslatedIsReportedByItsLine(t *testing.T) {
	t.Parallel()
	_, m := migrated(t, `config :snakepit,
  pool_size: System.schedulers_online(),
  no_such_thing: 3,
  pool_queue_timeout: -5,
  worker_ttl: [1],
  adapter_args: ["--verbose"],
  python_thread_limits: %{openblas: 1, omp: 3},
  pools_: 3
config :snakepit, :affinity, System.get_env("A", "sideways")
`)
	var lines []int
	for _, p := range m.Problems {
		lines = append(lines, p.Line)
	}
	for i, want := range []int{2, 3, 4, 5, 6, 7, 8, 9} {
		if i >= len(lines) || lines[i] != want {
			t.Fatalf("lines %v\n%v", lines, m.Problems)
		}
	}
}

func FuzzMigrate(f *testing.F) {
	for _, seed := range []string{
		"config :snakepit, pool_size: 3, adapter_args: [\"--adapter\", \"a.B\"]", "config :snakepit, pools: [%{name: :a, adapter_env: %{\"K\" => \"v\"}}]",
		"config :snakepit, node: \"a\\nb\", pool_config: %{pool_size: 1}", "config :snakepit, env: [A: System.get_env(\"X\", \"}\")]", "config :snakepit, \"a\nb\": 3",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		m := config.Migrate("f.exs", []byte(script))
		for _, p := range m.Problems {
			if p.Line == 0 {
				t.Fatalf("%q becomes\n%s\nwhich doesn't load: %s", script, m.YAML, p.Text)
			}
		}
	})
}
