package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// configured writes a configuration and returns its path.
func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snakepit.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runIn runs a command line with variables in its environment.
func runIn(t *testing.T, h *fakeHost, environ []string, args ...string) outcome {
	t.Helper()
	return runWithEnv(t.Context(), t, h, nil, environ, args...)
}

func TestConfigCheckNamesEachLineThatIsWrong(t *testing.T) {
	t.Parallel()
	path := configured(t, "pool_szie: 3\nlane: pigeon\n")
	o := runIn(t, &fakeHost{}, nil, "config", "check", path)
	if o.code != 1 || !strings.Contains(o.stderr, path+":1: pool_szie") || !strings.Contains(o.stderr, path+":2: lane") || o.stdout != "" {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	o = runIn(t, &fakeHost{}, nil, "config", "check", path, "-o", "json")
	var v checkView
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || o.code != 1 || v.OK || len(v.Errors) != 2 || v.Errors[1].Line != 2 || v.Errors[1].Knob != "lane" || v.Errors[1].File != path {
		t.Errorf("exit %d, %s: %v", o.code, o.stdout, err)
	}
}

func TestConfigCheckOfAGoodFileTellsItsPoolsAndWarnings(t *testing.T) {
	t.Parallel()
	path := configured(t, "pools: [{name: a, adapter: nowhere.py}, {name: b, adapter: b, idle_timeout: 5m}]\n")
	o := runIn(t, &fakeHost{}, nil, "config", "check", "-c", path)
	if o.code != 0 || o.stdout != path+" is fine (2 pools: a, b)\n" || !strings.Contains(o.stderr, "means nothing without max_size") || !strings.Contains(o.stderr, "on this machine: pool a: adapter file "+filepath.Dir(path)+"/nowhere.py can't be read") {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	if o := runIn(t, &fakeHost{}, nil, "config", "check"); o.code != 2 || !strings.Contains(o.stderr, "which file") {
		t.Errorf("without a file: exit %d, %q", o.code, o.stderr)
	}
	if o := runIn(t, &fakeHost{}, nil, "config", "check", path+".not"); o.code != 2 || !strings.Contains(o.stderr, "no such file") {
		t.Errorf("without the file: exit %d, %q", o.code, o.stderr)
	}
	if o := runIn(t, &fakeHost{}, nil, "config", "chek"); o.code != 2 || !strings.Contains(o.stderr, "unknown command") {
		t.Errorf("exit %d, %q", o.code, o.stderr)
	}
}

func TestConfigShowTellsWhereEachValueIsFrom(t *testing.T) {
	t.Parallel()
	path := configured(t, "adapter: x\nqueue_size: 3\n")
	environ := []string{"SNAKEPIT_PREFETCH=4", "SNAKEPIT_CONFIG=" + path}
	o := runIn(t, &fakeHost{}, environ, "config", "show", "--set", "call_timeout=2")
	for _, want := range []string{"queue_size: 3 ", "# " + path + ":2\n", "prefetch: 4 ", "# SNAKEPIT_PREFETCH\n", "call_timeout: 2s ", "# --set\n", "queue_timeout: 1s ", "# from call_timeout\n", "lane: auto ", "# default\n"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q isn't in\n%s", want, o.stdout)
		}
	}
	shown := configured(t, o.stdout)
	if o := runIn(t, &fakeHost{}, nil, "config", "check", shown); o.code != 0 {
		t.Errorf("what it prints isn't a configuration: %s", o.stderr)
	}
	o = runIn(t, &fakeHost{}, environ, "config", "show", "-o", "json")
	var v struct {
		File  string
		Host  map[string]struct{ Value any }
		Pools []struct {
			Name  string
			Knobs map[string]struct {
				Value any
				From  string
			}
		}
	}
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || v.File != path || len(v.Pools) != 1 {
		t.Fatalf("%v: %s", err, o.stdout)
	}
	knobs := v.Pools[0].Knobs
	if knobs["queue_size"].Value != 3.0 || knobs["queue_timeout"].Value != 5.0 || knobs["max_age"].Value != nil || knobs["prefetch"].From != "SNAKEPIT_PREFETCH" || v.Host["call_timeout"].Value != 30.0 {
		t.Errorf("got %s", o.stdout)
	}
}

func TestConfigPrintsItsSchemaAndDefaults(t *testing.T) {
	t.Parallel()
	if o := runIn(t, &fakeHost{}, nil, "config", "schema"); o.code != 0 || !json.Valid([]byte(o.stdout)) {
		t.Errorf("exit %d, %s", o.code, o.stdout)
	}
	if o := runIn(t, &fakeHost{}, nil, "config", "check", configured(t, runIn(t, &fakeHost{}, nil, "config", "defaults").stdout)); o.code != 0 {
		t.Errorf("exit %d, %s", o.code, o.stderr)
	}
	var knobs []knobView
	if o := runIn(t, &fakeHost{}, nil, "config", "defaults", "-o", "json"); json.Unmarshal([]byte(o.stdout), &knobs) != nil || len(knobs) < 60 {
		t.Errorf("%d knobs, %s", len(knobs), o.stdout)
	}
}

func TestConfigMigrateTranslatesAndTellsTheRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.exs")
	script := "config :snakepit, pool_size: 3, adapter_args: [\"--adapter\", \"a.B\"]\n"
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	o := runIn(t, &fakeHost{}, nil, "config", "migrate", path)
	if o.code != 0 || !strings.Contains(o.stdout, "pool_size: 3\n") || !strings.Contains(o.stdout, "adapter: a:B\n") || o.stderr != "" {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	if err := os.WriteFile(path, []byte(script+"config :snakepit, queue_timeout: 60 * 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o = runIn(t, &fakeHost{}, nil, "config", "migrate", path)
	if o.code != 1 || !strings.Contains(o.stdout, "pool_size: 3\n") || !strings.Contains(o.stderr, path+":2: ") {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	var v struct{ Problems []problemView }
	o = runIn(t, &fakeHost{}, nil, "config", "migrate", path, "-o", "json")
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || len(v.Problems) != 1 || v.Problems[0].Line != 2 || o.code != 1 {
		t.Errorf("exit %d, %q: %v", o.code, o.stdout, err)
	}
}

func TestServeTakesItsConfigurationFromFileEnvironmentAndFlags(t *testing.T) {
	t.Parallel()
	path := configured(t, "adapter: x\ndata_dir: state\n")
	here := filepath.Dir(path)
	environ := []string{"SNAKEPIT_POOL_SIZE=3"}
	for _, c := range []struct {
		environ []string
		args    []string
		want    launch
	}{
		{environ, []string{"-c", path}, launch{File: path, DataDir: filepath.Join(here, "state")}},
		{append([]string{"SNAKEPIT_CONFIG=" + path}, environ...), nil, launch{File: path, DataDir: filepath.Join(here, "state")}},
		{append([]string{"SNAKEPIT_DATA_DIR=/env", "SNAKEPIT_INSTANCE=b"}, environ...), []string{"-c", path}, launch{File: path, DataDir: "/env/instances/b"}},
		{environ, []string{"-c", path, "--data-dir", "/flag"}, launch{File: path, DataDir: "/flag"}},
		{append([]string{"SNAKEPIT_ADAPTER=y"}, environ...), []string{"--data-dir", "/flag", "--set", "pool_size=4"}, launch{DataDir: "/flag", Set: []string{"pool_size=4"}}},
	} {
		h := &fakeHost{ended: errdefs.New(errdefs.Internal, "over")}
		o := runIn(t, h, c.environ, append([]string{"serve"}, c.args...)...)
		if len(o.launched) != 1 {
			t.Fatalf("%v: exit %d, %s", c.args, o.code, o.stderr)
		}
		got := o.launched[0]
		if !cmp.Equal(got.Environ, c.environ) || !got.Serve || got.Successor == nil {
			t.Errorf("%v: %+v", c.args, got)
		}
		got.Logger, got.Version, got.Environ, got.Successor, got.Serve = nil, "", nil, nil, false
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
}

func TestServeOfAWrongConfigurationStartsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ []string
		args    []string
		code    int
		want    string
	}{
		{nil, []string{"-c", configured(t, "pool_size: 0\nadapter: x\n")}, 1, ":1: pool_size: 0 is outside its range"},
		{nil, []string{"-c", configured(t, "pool_size: 1\n")}, 2, "--adapter"},
		{nil, []string{"-c", "nowhere.yaml"}, 2, "nowhere.yaml: no such file"},
		{nil, []string{"-c", configured(t, "pools: [{name: a, adapter: x}]\n"), "--adapter", "y"}, 2, "--adapter: it's for one pool"},
		{[]string{"SNAKEPIT_POOL_SZIE=1"}, []string{"--adapter", "x"}, 1, "did you mean SNAKEPIT_POOL_SIZE?"},
		{nil, []string{"--adapter", "x", "--set", "pool_size=0"}, 2, "--set: pool_size"},
	} {
		o := runIn(t, &fakeHost{}, c.environ, append([]string{"serve"}, c.args...)...)
		if o.code != c.code || !strings.Contains(o.stderr, c.want) || len(o.launched) != 0 {
			t.Errorf("%v: exit %d, %q; want %d, %q", c.args, o.code, o.stderr, c.code, c.want)
		}
	}
}

func TestCallWithAConfigurationHasAPrivateHostOfItsOwn(t *testing.T) {
	t.Parallel()
	path := configured(t, "pools: [{name: a, adapter: x, pool_size: 3}]\ndata_dir: /var/lib/x\n")
	o := runIn(t, &fakeHost{give: pack(t, 1)}, nil, "call", "f", "-c", path)
	if o.code != 0 || len(o.launched) != 1 {
		t.Fatalf("exit %d, %s", o.code, o.stderr)
	}
	if l := o.launched[0]; l.File != path || !l.Private || l.DataDir != "" || l.Workers != 0 {
		t.Errorf("got %+v", l)
	}
}

func TestOddConfigurationsAreToldAtTheStart(t *testing.T) {
	t.Parallel()
	path := configured(t, "adapter: x\npool_size: 9\nmax_workers: 3\n")
	o := runIn(t, &fakeHost{ended: errdefs.New(errdefs.Internal, "over")}, nil, "serve", "-c", path)
	if want := "warning: " + path + ":2: pool_size: it's more than max_workers, and cut to that\n"; !strings.Contains(o.stderr, want) {
		t.Errorf("got %q, want %q", o.stderr, want)
	}
}

func fixedReload() configReload {
	return configReload{
		Changes: []configChange{
			newConfigChange("", "node", "a", "b", "restart"), newConfigChange("ml", "pool_size", "2", "5", "at once"),
			newConfigChange("ml", "python", "a", "b", "new workers"),
		},
		Warnings: []string{"f.yaml:3: odd"},
		Failures: []failure{newFailure(errdefs.New(errdefs.StartFailed, "no torch").At(errdefs.Where{Pool: "ml"}))},
	}
}

const fixedReloadText = "node: a -> b (needs a restart: left as it is)\nml.pool_size: 2 -> 5\nml.python: a -> b (by new workers)\n" +
	"warning: f.yaml:3: odd\npool ml keeps its workers: start_failed: no torch\n"

func TestReloadTellsWhatHoldsAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	o := runOn(t, &fakeHost{reload: fixedReload()}, "reload", "--config")
	if o.code != 1 || o.stdout != fixedReloadText || !strings.Contains(o.stderr, "1 pool couldn't start new workers") {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	if o := runOn(t, &fakeHost{}, "reload", "--config"); o.code != 0 || o.stdout != "nothing has changed\n" {
		t.Errorf("exit %d, %q", o.code, o.stdout)
	}
	o = runOn(t, &fakeHost{}, "reload", "--config", "-o", "json")
	var v map[string][]any
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil || v["changes"] == nil || v["warnings"] == nil || v["failures"] == nil {
		t.Errorf("%q: %v", o.stdout, err)
	}
	if o := runOn(t, &fakeHost{err: errdefs.New(errdefs.InvalidConfig, "line 3")}, "reload", "--config"); o.code != 1 || !strings.Contains(o.stderr, "line 3") {
		t.Errorf("exit %d, %q", o.code, o.stderr)
	}
}

func TestHangupReadsTheConfigurationAgain(t *testing.T) {
	t.Parallel()
	path := configured(t, "adapter: x\n")
	h := &fakeHost{reload: fixedReload(), reloaded: make(chan struct{}, 1)}
	h.ended = errdefs.New(errdefs.Internal, "over")
	h.onWait = func() {
		h.hangups <- syscall.SIGHUP
		<-h.reloaded
	}
	o := runIn(t, h, nil, "serve", "-c", path)
	if !strings.Contains(o.stderr, fixedReloadText) {
		t.Errorf("exit %d, %q", o.code, o.stderr)
	}
	without := &fakeHost{ended: errdefs.New(errdefs.Internal, "over")}
	runIn(t, without, nil, "serve", "--adapter", "x")
	if without.hangups != nil {
		t.Error("without a file the signal is caught all the same")
	}
}
