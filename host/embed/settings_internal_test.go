package embed

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// settled is what a configuration comes to, with an adapter and an interpreter that
// are there.
func settled(t *testing.T, set ...string) settings {
	t.Helper()
	dir := place(t)
	s, err := settle(Config{Adapter: filepath.Join(dir, "tools.py"), Set: append([]string{"python=" + filepath.Join(dir, "env")}, set...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// place is a folder with an adapter and what looks like an environment.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"tools.py": 0o600, "env/bin/python": 0o700} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEveryKnobOfAPoolReachesTheEngine(t *testing.T) {
	t.Parallel()
	// What they do is done before the engine: see the tests of host/config.
	elsewhere := []string{"max_workers", "worker_profile", "adapter", "python", "min_size", "scale_up_delay", "idle_timeout"}
	base := settled(t).pools[0]
	for _, k := range config.Knobs() {
		if k.Scope != config.OfPool || slices.Contains(elsewhere, k.Name) {
			continue
		}
		var set []string
		switch k.Kind {
		case config.Bool:
			set = []string{"=true", "=false"}
		case config.Choice:
			set = []string{"=" + k.Choices[0], "=" + k.Choices[len(k.Choices)-1]}
		case config.TextMap:
			set = []string{"=A=b", "="}
		case config.Texts:
			set = []string{"=E", "="}
		case config.Counts:
			set = []string{"=a:2", "="}
		case config.Ints:
			set = []string{"=1", "="}
		case config.Int, config.Number, config.Bytes, config.Duration, config.Text:
			set = []string{"=" + k.Min, "=" + k.Max}
		}
		differs := false
		for _, v := range set {
			got := settled(t, k.Name+v).pools[0]
			got.Command.Path, got.Command.Args = base.Command.Path, base.Command.Args
			got.Command.Env = slices.DeleteFunc(got.Command.Env, func(kv string) bool { return strings.HasPrefix(kv, "PYTHONPATH=") })
			want := base
			want.Command.Env = slices.DeleteFunc(slices.Clone(want.Command.Env), func(kv string) bool { return strings.HasPrefix(kv, "PYTHONPATH=") })
			got.Command.Hints, want.Command.Hints, got.Command.Adapter, want.Command.Adapter = nil, nil, "", ""
			differs = differs || !reflect.DeepEqual(got, want)
		}
		if !differs {
			t.Errorf("%s changes nothing", k.Name)
		}
	}
}

// noLauncher is there, and never asked.
type noLauncher struct{ host.Launcher }

func TestEveryBoundIsTakenByTheEngine(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		for _, bound := range []string{k.Min, k.Max} {
			if bound == "" || k.Kind == config.Counts {
				continue
			}
			set := []string{k.Name + "=" + bound}
			switch k.Name {
			case "min_size":
				set = append(set, "max_size=10000", "pool_size=10000")
			case "max_size":
				set = append(set, "pool_size=1")
			}
			h := &Host{set: settled(t, set...)}
			if _, err := host.New(h.engineConfig(noLauncher{})); err != nil {
				t.Errorf("%v: %v", set, err)
			}
		}
	}
}

func TestWordsBecomeWhatTheEngineMeansByThem(t *testing.T) {
	t.Parallel()
	p := settled(t, "queue_size=0", "session_ttl=infinity", "max_calls=unlimited", "heartbeat=false", "breaker_threshold=off", "crash_barrier=false",
		"retry_jitter=0", "neighbour_grace=0", "max_size=4", "min_size=0", "idle_timeout=infinity", "limit_memory=unlimited", "slots=auto", "blas_threads=unlimited", "start=fork").pools[0]
	for what, ok := range map[string]bool{
		"queue_size": p.QueueSize < 0, "session_ttl": p.SessionTTL < 0, "max_calls": p.Recycle.MaxCalls == 0, "max_age": p.Recycle.MaxAge == 0, "max_memory": p.Recycle.MaxMemory == 0,
		"heartbeat": p.Heartbeat.Interval < 0, "busy_timeout": p.Heartbeat.BusyTimeout == 0, "breaker": p.Breaker.Threshold < 0,
		"crash_barrier": p.Barrier.ExitCodes != nil && len(p.Barrier.ExitCodes) == 0 && p.Barrier.Retries < 0, "retry_jitter": p.Retry.Jitter < 0,
		"neighbour_grace": p.NeighbourGrace < 0, "scale": p.Scale == host.Scale{Min: 0, Max: 4, QueueDelay: 100 * time.Millisecond, IdleAfter: config.Forever},
		"limits": p.Settings.Limits == host.Limits{}, "slots": p.Settings.Slots == 0, "blas_threads": p.Settings.Threads < 0, "start": p.Settings.Fork, "start_batch": p.StartBatch == 0,
	} {
		if !ok {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

func TestPathsInAFileAreRelativeToItsFolder(t *testing.T) {
	t.Parallel()
	dir := place(t)
	file := filepath.Join(dir, "snakepit.yaml")
	if err := os.WriteFile(file, []byte("adapter: tools.py\npython: env\ndata_dir: state\nenv: {PYTHONPATH: /more, A: b}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settle(Config{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.pools[0].Command
	if cmd.Path != filepath.Join(dir, "env/bin/python") || cmd.Args[len(cmd.Args)-1] != filepath.Join(dir, "tools.py") || s.loaded.DataDirectory() != filepath.Join(dir, "state") {
		t.Errorf("got %+v, %s", cmd, s.loaded.DataDirectory())
	}
	if cmd.Env[0] != "PYTHONPATH="+dir+":/more" && !strings.HasSuffix(cmd.Env[0], ":/more") || !slices.Contains(cmd.Env, "A=b") {
		t.Errorf("env %v", cmd.Env)
	}
	s, err = settle(Config{File: file, Environ: []string{"SNAKEPIT_PYTHON=" + filepath.Join(dir, "env/bin/python"), "SNAKEPIT_DATA_DIR=here"}}, nil)
	if err != nil || s.pools[0].Command.Path != filepath.Join(dir, "env/bin/python") || s.loaded.DataDirectory() != "here" {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestFilesThatCantBeReadAreInvalid(t *testing.T) {
	t.Parallel()
	for _, file := range []string{filepath.Join(t.TempDir(), "nowhere.yaml"), t.TempDir()} {
		if err := Check(Config{File: file}); errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestWorkersThatCouldNotBeReplacedStayThoseOfTheirPool: another reload, of a file that
// doesn't name the pool any more, mustn't try them once again.
func TestWorkersThatCouldNotBeReplacedStayThoseOfTheirPool(t *testing.T) {
	t.Parallel()
	pool := func(path string, size int) settings {
		return settings{loaded: &config.Config{}, pools: []host.PoolConfig{{Name: "ml", Size: size, Command: host.Command{Path: path}}}}
	}
	h := &Host{logger: hclog.NewNullLogger()}
	old := pool("old", 1)
	h.applied.Store(&old)
	failed := h.adopt(pool("bad", 2), []host.PoolChange{{Pool: "ml", Err: errdefs.New(errdefs.StartFailed, "no such file")}})
	kept := h.kept(settings{})
	if len(failed) != 1 || len(kept) != 1 || kept[0].Command.Path != "old" || kept[0].Size != 2 {
		t.Errorf("%d failures, pools %+v; want the old command and the new size", len(failed), kept)
	}
}
