package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// file loads a file alone.
func file(text string, environ ...string) (*config.Config, error) {
	return config.Load(config.Sources{File: "snakepit.yaml", YAML: []byte(text), Environ: environ})
}

func loaded(t *testing.T, src config.Sources) *config.Config {
	t.Helper()
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAllThatIsWrongIsSaidAtOnceWithItsPlace(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Sources{
		File: "snakepit.yaml",
		YAML: []byte(`pool_szie: 3
lane: pigeon
call_timeout: soon
pools:
  - name: ml
    adapter: ml
    log_level: debug
    queue_size: many
  - name: ml
    adapter: ml
  - adapter: nameless
  - name: "no name"
    adapter: x
  - name: bare
retry: {atempts: 3}
grpc_port: 50051
crash_barrier: {mark_on: [oom]}
pool_size: [1, 2]
`),
		Environ: []string{"SNAKEPIT_QUEUE_TIMOUT=3", "SNAKEPIT_MAX_SESSIONS=-4", "HOME=/", "SNAKEPIT_lane=auto"},
		Flags:   []config.Flag{{Name: "--set", Pair: "novalue"}, {Name: "--set", Pair: "strict_results=maybe"}, {Name: "--workers", Pair: "pool_size=0"}},
	})
	if errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Fatalf("got %v, want invalid_config", err)
	}
	for _, want := range []string{
		"snakepit.yaml:1: pool_szie: no knob is called pool_szie: did you mean pool_size?",
		"snakepit.yaml:2: lane: \"pigeon\" is none of auto, local, grpc",
		"snakepit.yaml:3: call_timeout: \"soon\" is no length of time",
		"snakepit.yaml:7: log_level: it's the host's: set it at the top, not with a pool",
		"snakepit.yaml:8: pools.ml.queue_size: \"many\" is no whole number",
		"snakepit.yaml:9: pools: two pools are called ml; the other one is at snakepit.yaml:5",
		"snakepit.yaml:11: pools: the pool has no name",
		"snakepit.yaml:12: pools: a pool can't be called \"no name\"",
		"snakepit.yaml:14: pools.bare.adapter: the pool has no adapter",
		"snakepit.yaml:15: retry_atempts: no knob is called retry_atempts",
		"snakepit.yaml:16: grpc_port: it's a name of the Elixir project, without a counterpart: workers are reached over Unix sockets",
		"snakepit.yaml:17: crash_barrier_mark_on: it's a name of the Elixir project, without a counterpart: crash_barrier_exit_codes",
		"snakepit.yaml:18: pool_size: want an integer, not a list",
		"SNAKEPIT_QUEUE_TIMOUT: no knob is called queue_timout: did you mean SNAKEPIT_QUEUE_TIMEOUT?",
		"SNAKEPIT_MAX_SESSIONS: max_sessions: -4 is outside its range",
		"SNAKEPIT_lane: ",
		"--set: \"novalue\" isn't knob=value",
		"--set: strict_results: \"maybe\" is neither true nor false",
		"--workers: pool_size: 0 is outside its range, 1 to 10000",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("this isn't said: %s", want)
		}
	}
	if got := len(config.FaultsIn(err)); got != 19 {
		t.Errorf("%d faults, want 19:\n%v", got, err)
	}
}

func TestStrongerSourcesGoBeforeWeakerOnes(t *testing.T) {
	t.Parallel()
	src := config.Sources{
		File: "f", YAML: []byte("adapter: a\npool_size: 3\nqueue_size: 3\nmax_payload: 3MiB\nprefetch: 3\n"),
		Environ: []string{"SNAKEPIT_QUEUE_SIZE=4", "SNAKEPIT_MAX_PAYLOAD=4MiB", "SNAKEPIT_PREFETCH="},
		Flags:   []config.Flag{{Name: "--set", Pair: "max_payload=5MiB"}, {Name: "--set", Pair: "max_payload=6MiB"}},
	}
	p := loaded(t, src).Pools[0]
	if p.Settings.PoolSize != 3 || p.Settings.QueueSize != 4 || p.Settings.MaxPayload != 6<<20 || p.Settings.Prefetch != 3 {
		t.Errorf("got %+v", p.Settings)
	}
	for knob, want := range map[string]string{"pool_size": "f:2", "queue_size": "SNAKEPIT_QUEUE_SIZE", "max_payload": "--set", "affinity": "default"} {
		if got := p.Origin(knob).String(); got != want {
			t.Errorf("%s is from %s, want %s", knob, got, want)
		}
	}
}

func TestBothFormsAndBothShapesOfPoolsAreTheSame(t *testing.T) {
	t.Parallel()
	const list = "queue_size: 7\npools:\n  - {name: a, adapter: x, pool_size: 3}\n  - {name: b, adapter: y, queue_size: 9}\n"
	const byName = "queue_size: 7\npools:\n  a: {adapter: x, pool_size: 3}\n  b: {adapter: y, queue_size: 9}\n"
	for _, text := range []string{list, byName} {
		c := loaded(t, config.Sources{File: "f", YAML: []byte(text)})
		if len(c.Pools) != 2 || c.Pools[0].Name != "a" || c.Pools[1].Name != "b" {
			t.Fatalf("%s: %+v", text, c.Pools)
		}
		a, b := c.Pools[0].Settings, c.Pools[1].Settings
		if a.PoolSize != 3 || b.PoolSize != 2 || a.QueueSize != 7 || b.QueueSize != 9 || a.Adapter != "x" || b.Adapter != "y" {
			t.Errorf("%s:\n%+v\n%+v", text, a, b)
		}
	}
	one := loaded(t, config.Sources{File: "f", YAML: []byte("adapter: x\npool_size: 3\n")})
	if len(one.Pools) != 1 || one.Pools[0].Name != "default" || one.Pools[0].Settings.PoolSize != 3 || one.Multi {
		t.Errorf("one pool: %+v", one)
	}
}

func TestPoolConfigLiesOverTheTopButForThePoolsSize(t *testing.T) {
	t.Parallel()
	const legacy = "adapter: x\nstartup_batch_size: 3\nmax_calls: 5\npool_config:\n  pool_size: 9\n  startup_batch_size: 4\n  affinity: strict_queue\n"
	s := loaded(t, config.Sources{File: "f", YAML: []byte(legacy)}).Pools[0].Settings
	if s.PoolSize != 9 || s.StartBatchSize != 4 || s.MaxCalls != 5 || s.Affinity != "strict_queue" {
		t.Errorf("got %+v", s)
	}
	s = loaded(t, config.Sources{File: "f", YAML: []byte("pool_size: 2\n" + legacy)}).Pools[0].Settings
	if s.PoolSize != 2 || s.StartBatchSize != 4 {
		t.Errorf("with pool_size at the top: %+v", s)
	}
	if _, err := file("pool_config: {pool_size: 1}\npools: [{name: a, adapter: x}]\n"); err == nil {
		t.Error("pool_config beside pools is taken")
	}
}

func TestAnAdapterBesidePoolsIsRefused(t *testing.T) {
	t.Parallel()
	for _, src := range []config.Sources{
		{File: "f", YAML: []byte("adapter: x\npools: [{name: a, adapter: y}]\n")},
		{File: "f", YAML: []byte("pools: [{name: a, adapter: y}]\n"), Flags: []config.Flag{{Name: "--adapter", Pair: "adapter=x"}}},
		{Flags: []config.Flag{{Name: "Adapter", Pair: "adapter=x"}}, Pools: []config.Named{{Name: "a", Flags: []config.Flag{{Name: "Adapter", Pair: "adapter=y"}}}}},
		{File: "f", YAML: []byte("pools: [{name: a, adapter: y}]\n"), Flags: []config.Flag{{Name: "--workers", Pair: "pool_size=3", One: true}}},
		{File: "f", YAML: []byte("pools: [{name: a, adapter: y}]\n"), Pools: []config.Named{{Name: "b", Flags: []config.Flag{{Name: "Adapter", Pair: "adapter=y"}}}}},
	} {
		if _, err := config.Load(src); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s %v: %v", src.YAML, src.Flags, err)
		}
	}
}

func TestOneFlagReachesOnePool(t *testing.T) {
	t.Parallel()
	src := config.Sources{
		File: "f", YAML: []byte("pools: [{name: a.b, adapter: x, pool_size: 2}, {name: c, adapter: y, pool_size: 3}]\n"),
		Flags: []config.Flag{{Name: "--set", Pair: "pools.a.b.pool_size=5"}},
	}
	c := loaded(t, src)
	if c.Pools[0].Settings.PoolSize != 5 || c.Pools[1].Settings.PoolSize != 3 {
		t.Errorf("got %d and %d", c.Pools[0].Settings.PoolSize, c.Pools[1].Settings.PoolSize)
	}
	src.Flags[0].Pair = "pools.nobody.pool_size=5"
	if _, err := config.Load(src); err == nil || !strings.Contains(err.Error(), "names no pool") {
		t.Errorf("got %v", err)
	}
}

func TestReservedAndForeignVariablesAreIgnored(t *testing.T) {
	t.Parallel()
	_, err := file("adapter: x\n", "SNAKEPIT_WORKER_TOKEN=1", "SNAKEPIT_PLUGIN=2", "SNAKEPIT_PLUGIN_X=2", "SNAKEPIT_PYTHON_RUNTIME_ID=3",
		"SNAKEPIT_CONFIG=/x", "SNAKEPIT_TEST_PYTHON=p", "SNAKEPIT_SERVICE_HOST=10.0.0.1", "SNAKEPIT_PORT_443_TCP=tcp://10.0.0.1:443")
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"SNAKEPIT_WORKER_TOKEN", "SNAKEPIT_PLUGIN", "SNAKEPIT_PLUGIN_X", "SNAKEPIT_PYTHON_RUNTIME_ID", "A=B", `""`} {
		if _, err := file("adapter: x\nenv: {" + name + ": 1}\n"); err == nil {
			t.Errorf("env may set %s", name)
		}
	}
}

func TestVariablesStandInTheFile(t *testing.T) {
	t.Parallel()
	c, err := file("adapter: ${DIR:-tools}/${FILE}\npool_size: ${N:-3}\nqueue_timeout: ${MS:-250}ms\nenv: {A: $$x$y, B: \"${EMPTY:-e}\"}\n", "FILE=t.py", "N=4", "EMPTY=")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Pools[0].Settings
	if s.Adapter != "tools/t.py" || s.PoolSize != 4 || s.QueueTimeout != 250*time.Millisecond || s.Env["A"] != "$x$y" || s.Env["B"] != "e" {
		t.Errorf("got %+v", s)
	}
	for _, text := range []string{"${MISSING}", "${", "${A B}", "${:-x}"} {
		if _, err := file("adapter: " + text + "\n"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestMapsLieOverEachOtherKeyByKey(t *testing.T) {
	t.Parallel()
	c, err := file("env: {A: 1, B: 2}\nweights: {x: 2}\npools:\n  - {name: a, adapter: x, env: {B: 3, C: 4}}\n  - {name: b, adapter: y, weights: {y: 5}}\n")
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Pools[0].Settings, c.Pools[1].Settings
	if len(a.Env) != 3 || a.Env["B"] != "3" || len(b.Env) != 2 || b.Env["B"] != "2" || len(b.Weights) != 2 || len(a.Weights) != 1 {
		t.Errorf("got %v, %v, %v, %v", a.Env, b.Env, a.Weights, b.Weights)
	}
}

func TestAKnobIsSetOnceInAPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"pool_size: 1\npool_size: 1\n":                        "given twice",
		"queue_timeout: 5\ncheckout_timeout: 6000\n":          "another name of queue_timeout",
		"pools: [{name: a, adapter: x}]\npools: []\n":         "given twice",
		"heartbeat: {interval: 1s}\nheartbeat_interval: 2s\n": "given twice",
		"env: {A: 1, A: 2}\n":                                 "given twice",
		"a: 1\n---\nb: 2\n":                                   "second document",
		"- 1\n":                                               "want knobs",
		"pools: 3\n":                                          "want a list of pools",
		"pools: [3]\n":                                        "want a map",
		"x: &x {pool_size: 1}\npools: [{name: a, <<: *x}]\n":  "plain name",
		"pool_size: {a: 1}\n":                                 "want an integer, not a map",
		"\tpool_size: 1\n":                                    "not YAML",
		"crash_barrier_exit_codes: [1, [2]]\n":                "want a plain value",
		"crash_barrier_exit_codes: [1, 300]\n":                "outside its range",
		"weights: {a: 0}\n":                                   "outside its range",
		"node: \"a b\"\n":                                     "want 1 to 64 letters",
		"adapter: \"a\\0b\"\n":                                "control character",
		"pools:\n  a: 3\n":                                    "want the pool's knobs",
		"pool_size: " + strings.Repeat("9", 1<<20) + "\n":     "larger than 1024 KiB",
		"timeout_profile: fast\n":                             "none of standard, balanced",
		"queue_timeout: infinity\n":                           "no length of time",
		"worker_profile: process\nslots: 4\n":                 "one slot",
		"min_size: 1\n":                                       "fixed",
		"max_size: 2\nmin_size: 3\n":                          "more than max_size",
		"max_size: 2\npool_size: 3\n":                         "more than max_size",
		"max_size: 5\nmin_size: 3\npool_size: 2\n":            "less than min_size",
		"retry_backoff: 5s\nretry_max_delay: 1s\n":            "longer than retry_max_delay",
		"heartbeat_timeout: 5s\nheartbeat_busy_timeout: 1s\n": "shorter than heartbeat_timeout",
		"python: {strategy: uv}\n":                            "names an interpreter",
	} {
		_, err := file(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %q", text, err, want)
		}
	}
}

func TestOtherNamesMaySayTheSame(t *testing.T) {
	t.Parallel()
	c, err := file("queue_timeout: 6\ncheckout_timeout: 6000\npython_thread_limits: {openblas: 2, omp: 2}\n")
	if err != nil || c.QueueTimeout != 6*time.Second || c.BLASThreads != 2 {
		t.Errorf("%v", err)
	}
}

func TestInnerTimesFollowOuterOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text                string
		queue, call, stream time.Duration
		warns               int
	}{
		{"", 5 * time.Second, 30 * time.Second, 15 * time.Minute, 0},
		{"call_timeout: 2s\n", time.Second, 2 * time.Second, 15 * time.Minute, 0},
		{"queue_timeout: 1m\n", time.Minute, 90 * time.Second, 15 * time.Minute, 0},
		{"queue_timeout: 1m\ncall_timeout: 10s\n", time.Minute, 10 * time.Second, 15 * time.Minute, 1},
		{"call_timeout: 1h\n", 5 * time.Second, time.Hour, time.Hour, 0},
		{"timeout_profile: batch\n", 5 * time.Minute, time.Hour, config.Forever, 0},
		{"timeout_profile: production_strict\nqueue_timeout: 1s\n", time.Second, time.Minute, 5 * time.Minute, 0},
		{"stream_timeout: 10s\ncall_timeout: 1m\n", 5 * time.Second, time.Minute, 10 * time.Second, 1},
	} {
		got, err := file("adapter: x\n" + c.text)
		if err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		queue := got.Pools[0].Settings.QueueTimeout
		if queue != c.queue || got.CallTimeout != c.call || got.StreamTimeout != c.stream || len(got.Warnings) != c.warns {
			t.Errorf("%q: %s < %s < %s, %v; want %s < %s < %s, %d warnings", c.text, queue, got.CallTimeout, got.StreamTimeout, got.Warnings, c.queue, c.call, c.stream, c.warns)
		}
	}
}

func TestWhatIsOddIsAWarningWithItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"pool_size: 20\nmax_workers: 8\n":            "snakepit.yaml:2: pool_size: it's more than max_workers",
		"idle_timeout: 5m\n":                         "means nothing without max_size",
		"worker_profile: thread\nslots: 1\n":         "is the process profile",
		"affinity: strict_fail_fast\nprefetch: 2\n":  "strict_fail_fast refuses",
		"max_memory: 2GiB\nlimit_memory: 1GiB\n":     "ends a worker before it's replaced",
		"stop_timeout: 20s\nshutdown_timeout: 10s\n": "never comes to its end",
		"cancel_grace: 20s\ncall_timeout: 10s\n":     "never comes to its end",
	} {
		c, err := file("adapter: x\n" + text)
		if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), want) {
			t.Errorf("%q: %v, %v; want %q", text, err, c, want)
		}
	}
}

func TestSizesFollowEachOther(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][3]int{ // pool_size, min_size, max_size
		"":                               {2, -1, 0},
		"max_size: 8\n":                  {2, 2, 8},
		"max_size: 1\n":                  {1, 1, 1},
		"max_size: 8\nmin_size: 0\n":     {2, 0, 8},
		"max_size: 8\nmin_size: 4\n":     {4, 4, 8},
		"max_workers: 3\npool_size: 9\n": {3, -1, 0},
		"max_workers: 3\nmax_size: 9\n":  {2, 2, 3},
	} {
		c, err := file("adapter: x\n" + text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		s := c.Pools[0].Settings
		if got := [3]int{s.PoolSize, s.MinSize, s.MaxSize}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestProfilesGiveTheirSlots(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "slots: 3\n": 3, "worker_profile: process\n": 1, "worker_profile: thread\n": 10, "worker_profile: thread\nthreads_per_worker: 4\n": 4} {
		c, err := file("adapter: x\n" + text)
		if err != nil || c.Pools[0].Settings.Slots != want {
			t.Errorf("%q: %v, want %d slots", text, err, want)
		}
	}
}

func TestChangesSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	old, err := file("node: a\npools: [{name: a, adapter: x}, {name: b, adapter: y}]\n")
	if err != nil {
		t.Fatal(err)
	}
	next, err := file("node: b\nlog_level: info\npools: [{name: a, adapter: x, pool_size: 5, python: p}, {name: c, adapter: y}]\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Change{
		{"", "node", "a", "b", config.ByRestart},
		{"", "log_level", "error", "info", config.Live},
		{"a", "python", `""`, "p", config.ByWorkers},
		{"a", "pool_size", "2", "5", config.Live},
		{"b", "pools", "there", "gone", config.ByRestart},
		{"c", "pools", "absent", "new", config.ByRestart},
	}
	got := old.Changes(next)
	for _, c := range want {
		found := false
		for _, g := range got {
			found = found || g == c
		}
		if !found {
			t.Errorf("%+v isn't among %+v", c, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d changes, want %d: %+v", len(got), len(want), got)
	}
	if again := next.Changes(next); len(again) != 0 {
		t.Errorf("it differs from itself: %+v", again)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	c, err := file("adapter: x\nenv: {API_KEY: s3cret, MODE: fast}\n")
	if err != nil {
		t.Fatal(err)
	}
	if text := c.YAML(); strings.Contains(text, "s3cret") || !strings.Contains(text, "fast") {
		t.Errorf("got %s", text)
	}
}

func TestAnEmptyFileSetsNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n", "{}\n", "pools:\n", "pools: []\n", "pool_size:\nadapter: ~\n"} {
		if c, err := file(text); err != nil || len(c.Pools) != 0 || c.PoolSize != 2 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"adapter: x\npool_size: 3\n", "pools: [{name: a, adapter: b, env: {A: 1}}]\n", "pools:\n  a: {adapter: x}\nretry: {max_attempts: 3}\n",
		"a: &a [*a]\n", "x: &x {<<: *x}\n", "call_timeout: 1e300\n", "max_payload: 9223372036854775807GiB\n", "pools: &p\n - *p\n", "? [a]\n: b\n", "weights: {? {a: 1} : 2}\n",
		"adapter: ${A:-${B}}\n", "pool_config: {pool_size: 9}\n", "%TAG ! x\n---\n!a b\n", "crash_barrier: {exit_codes: [1, 2]}\n", "env: \"A=b,C=d\"\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := file(text)
		if err != nil {
			if errdefs.ReasonOf(err) != errdefs.InvalidConfig || len(config.FaultsIn(err)) == 0 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if c.CallTimeout <= 0 || c.MaxPayload <= 0 || c.PoolSize < 1 {
			t.Fatalf("%q gives %+v", text, c)
		}
		if _, err := file(c.YAML()); err != nil {
			t.Fatalf("%q is shown as\n%s\nwhich doesn't load: %v", text, c.YAML(), err)
		}
	})
}
