package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestOverridesAreReadAsTheTableWritesThem(t *testing.T) {
	t.Parallel()
	got, err := config.ReadOverrides("ml", map[string]string{
		"pool_size": "4", "pool_queue_timeout": "5000", "weights": "b:2,a:3", "memory_threshold_mb": "64", "max_calls": "never", "crash_barrier_error_types": "",
	})
	want := map[string]string{
		"pool_size": "4", "queue_timeout": "5s", "weights": "a:3,b:2", "max_memory": "64MiB", "max_calls": "unlimited", "crash_barrier_error_types": "",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestWhatCannotBeOverriddenIsRefusedWithWhatCan(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		knobs map[string]string
		want  []string
	}{
		"a misspelt one":       {map[string]string{"pool_siz": "4"}, []string{"pools.ml.pool_siz: ", "did you mean pool_size?"}},
		"the host's":           {map[string]string{"call_timeout": "4s"}, []string{"pools.ml.call_timeout: ", "each host's own"}},
		"what workers are":     {map[string]string{"adapter": "x.py"}, []string{"pools.ml.adapter: ", "new workers"}},
		"a value out of range": {map[string]string{"pool_size": "0"}, []string{"pools.ml.pool_size: 0 is outside its range"}},
		"no class":             {map[string]string{"crash_barrier_error_types": ":text"}, []string{"names no class"}},
		"one under two names":  {map[string]string{"queue_size": "1", "max_queue_size": "2"}, []string{"set twice"}},
		"several":              {map[string]string{"a": "", "b": ""}, []string{"2 things are wrong", "pools.ml.a", "pools.ml.b"}},
	} {
		_, err := config.ReadOverrides("ml", tt.knobs)
		e := errdefs.Of(err)
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(e.Hint, "pool_size") || strings.Contains(e.Hint, "adapter") {
			t.Errorf("%s: %v, %q", name, err, e.Hint)
		}
		for _, text := range tt.want {
			if !strings.Contains(e.Message, text) {
				t.Errorf("%s: %q doesn't say %q", name, e.Message, text)
			}
		}
	}
}

// TestOverridableKnobsReadWhatTheyWrite: what one host writes all others read, and
// none refuses.
func TestOverridableKnobsReadWhatTheyWrite(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		if k.CanOverride() != (k.Scope == config.OfPool && k.Effect == config.Live) || k.CanOverride() != slices.Contains(config.Overridable(), k.Name) {
			t.Errorf("%s: %v", k.Name, k.CanOverride())
		}
		if !k.CanOverride() {
			continue
		}
		for _, text := range slices.Concat([]string{k.Default, k.Min, k.Max}, k.Choices) {
			if _, err := k.Read(text); err != nil {
				continue // it has no such bound
			}
			once, err := config.ReadOverrides("ml", map[string]string{k.Name: text})
			if err != nil {
				t.Fatal(err)
			}
			twice, err := config.ReadOverrides("ml", once)
			if err != nil || !cmp.Equal(once, twice) {
				t.Errorf("%s=%s: %v, then %v (%v)", k.Name, text, once, twice, err)
			}
		}
	}
}

// overlaid loads a file with what is set for all hosts.
func overlaid(t *testing.T, yaml string, o config.Overrides) *config.Config {
	t.Helper()
	c, err := config.Load(config.Sources{File: "snakepit.yaml", YAML: []byte(yaml), Overrides: o})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOverridesGoBeforeEverythingElse(t *testing.T) {
	t.Parallel()
	src := config.Sources{
		File: "snakepit.yaml", YAML: []byte("pool_size: 3\npools:\n  - {name: a, adapter: a.py, queue_size: 5, weights: {x: 2}}\n  - {name: b, adapter: b.py}\n"),
		Environ: []string{"SNAKEPIT_QUEUE_SIZE=6"}, Flags: []config.Flag{{Name: "--set", Pair: "pools.a.queue_size=7"}},
		Overrides: config.Overrides{"a": {"queue_size": "8", "max_size": "9", "weights": "y:3"}, "gone": {"queue_size": "1"}},
	}
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Pools[0], c.Pools[1]
	if s := a.Settings; s.QueueSize != 8 || s.MaxSize != 9 || s.MinSize != 3 || s.PoolSize != 3 || !cmp.Equal(s.Weights, map[string]int{"y": 3}) {
		t.Errorf("a has %+v", s)
	}
	if a.Origin("queue_size").String() != "override" || a.Origin("pool_size").Kind != config.FromFile || a.Origin("min_size").Kind != config.Derived {
		t.Errorf("queue_size is from %v, pool_size from %v, min_size from %v", a.Origin("queue_size"), a.Origin("pool_size"), a.Origin("min_size"))
	}
	if b.Settings.QueueSize != 6 || b.Overrides() != nil || len(c.Warnings) != 0 {
		t.Errorf("b has %d, %v; %v", b.Settings.QueueSize, b.Overrides(), c.Warnings)
	}
	want := []config.Override{
		{Pool: "a", Knob: "max_size", Value: "9", Own: "off", Holds: true},
		{Pool: "a", Knob: "queue_size", Value: "8", Own: "7", From: config.Origin{Kind: config.FromFlag, Name: "--set"}, Holds: true},
		{Pool: "a", Knob: "weights", Value: "y:3", Own: "{x: 2}", From: config.Origin{Kind: config.FromFile, Name: "snakepit.yaml", Line: 3}, Holds: true},
	}
	if diff := cmp.Diff(want, a.Overrides(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAnOverrideThatDoesNotGoWithTheRestIsNamedAndLeftOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml  string
		knobs map[string]string
		holds []string
		warns []string
	}{
		"the file has more": {
			"adapter: a.py\npool_size: 5\n",
			map[string]string{"max_size": "2", "queue_size": "3"},
			[]string{"queue_size"},
			[]string{"override: max_size: set for all hosts, it doesn't hold on this one: snakepit.yaml:2: pool_size: 5 is more than max_size, 2"},
		},
		"the size is fixed": {
			"adapter: a.py\n",
			map[string]string{"min_size": "2", "queue_size": "3"},
			[]string{"queue_size"},
			[]string{"override: min_size: set for all hosts, it doesn't hold on this one: override: min_size: the pool's size is fixed"},
		},
		"one needs another, and a third is wrong": {
			"adapter: a.py\nretry_backoff: 1s\n",
			map[string]string{"min_size": "1", "max_size": "6", "retry_max_delay": "1ms"},
			[]string{"max_size", "min_size"},
			[]string{"retry_max_delay: set for all hosts, it doesn't hold on this one: snakepit.yaml:2: retry_backoff: 1s is longer"},
		},
		"a newer program's": {
			"adapter: a.py\n",
			map[string]string{"warp_factor": "9", "queue_size": "3"},
			[]string{"queue_size"},
			[]string{"override: warp_factor: set for all hosts, it doesn't hold on this one: no knob is called warp_factor"},
		},
		"a local bound": {
			"adapter: a.py\nmax_workers: 4\n",
			map[string]string{"pool_size": "9"},
			[]string{"pool_size"},
			[]string{"override: pool_size: it's more than max_workers, and cut to that"},
		},
	} {
		c := overlaid(t, tt.yaml, config.Overrides{"default": tt.knobs})
		var holds, warns []string
		for _, o := range c.Pools[0].Overrides() {
			if o.Holds {
				holds = append(holds, o.Knob)
			} else if o.Note == "" || c.Pools[0].Origin(o.Knob).Kind == config.FromOverride {
				t.Errorf("%s: %+v", name, o)
			}
		}
		for _, w := range c.Warnings {
			warns = append(warns, w.String())
		}
		fits := len(warns) == len(tt.warns)
		for i := range min(len(warns), len(tt.warns)) {
			fits = fits && strings.Contains(warns[i], tt.warns[i])
		}
		if !slices.Equal(holds, tt.holds) || !fits {
			t.Errorf("%s: %v hold, with %q", name, holds, warns)
		}
	}
}

func TestAQueueThatOutlastsItsCallsIsNoted(t *testing.T) {
	t.Parallel()
	c := overlaid(t, "adapter: a.py\n", config.Overrides{"default": {"queue_timeout": "1m"}})
	if o := c.Pools[0].Overrides()[0]; !o.Holds || !strings.Contains(o.Note, "call_timeout") || c.CallTimeout != config.Defaults().CallTimeout {
		t.Errorf("%+v; call_timeout is %v", o, c.CallTimeout)
	}
}
