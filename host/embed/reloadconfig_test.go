//go:build unix

package embed_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/client"
	knobs "github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// configFile is a configuration that a test rewrites.
type configFile struct {
	path, python string
}

func newConfigFile(t *testing.T) configFile {
	t.Helper()
	return configFile{filepath.Join(filepath.Dir(write(t, adapter)), "snakepit.yaml"), interpreter(t)}
}

func (f configFile) write(t *testing.T, text string) {
	t.Helper()
	text = "python: " + f.python + "\n" + text
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestConfigurationIsReadAgainWhileTheHostRuns(t *testing.T) {
	t.Parallel()
	f := newConfigFile(t)
	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\n")
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: io.Discard})
	sp := start(t, embed.Config{File: f.path, Serve: true, Logger: log})

	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\nqueue_size: 7\nnode: other\nlog_level: info\n")
	got, err := sp.ReloadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []knobs.Change{
		{Pool: "", Knob: "log_level", Old: "error", New: "info", Effect: knobs.Live},
		{Pool: "default", Knob: "queue_size", Old: "1000", New: "7", Effect: knobs.Live},
		{Pool: "", Knob: "node", Old: "local", New: "other", Effect: knobs.ByRestart},
	}
	if !slices.Equal(got.Changes, want) || len(got.Failures) != 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if log.GetLevel() != hclog.Info {
		t.Errorf("the log's level is %v, want info", log.GetLevel())
	}

	got, err = sp.ReloadConfig(t.Context())
	if err != nil || !slices.Equal(got.Changes, want[2:]) {
		t.Errorf("the second time: %+v, %v; want what still needs a restart", got, err)
	}

	c, err := client.Dial(t.Context(), sp.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.write(t, "adapter: adapter.py:Tools\npool_size: 0\nqueue_size: 9\n")
	if _, err := c.ReloadConfig(t.Context()); errdefs.ReasonOf(err) != errdefs.InvalidConfig || !strings.Contains(err.Error(), f.path+":3: pool_size") {
		t.Errorf("a wrong file: %v, want invalid_config with its line", err)
	}
	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\nqueue_size: 7\nnode: other\nlog_level: info\nidle_timeout: 3m\n")
	over, err := c.ReloadConfig(t.Context())
	if err != nil || len(over.GetChanges()) != 2 || len(over.GetWarnings()) != 1 {
		t.Errorf("over the socket: %v, %v; want idle_timeout and node, and a warning", over, err)
	}
	var sum int
	if err := sp.Call(t.Context(), "add", map[string]any{"a": 1}, &sum); err != nil || sum != 2 {
		t.Errorf("after all that: %d, %v", sum, err)
	}
}

func TestAPoolWhoseNewWorkersCannotStartKeepsTheOldOnes(t *testing.T) {
	t.Parallel()
	f := newConfigFile(t)
	code := filepath.Join(filepath.Dir(f.path), "adapter.py")
	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\nmax_payload: 1MiB\n")
	sp := start(t, embed.Config{File: f.path})
	old := sp.Workers("")[0].ID

	if err := os.WriteFile(code, []byte("import nothing_like_it\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.write(t, "adapter: adapter.py:Tools\npool_size: 1\nmax_payload: 2MiB\n")
	got, err := sp.ReloadConfig(t.Context())
	if err != nil || len(got.Failures) != 1 || got.Failures[0].Where.Pool != "default" || len(got.Changes) != 1 {
		t.Fatalf("got %+v, %v; want one failure", got, err)
	}
	if now := readyWorkers(sp); len(now) != 1 || now[0] != old {
		t.Errorf("workers %v, want %s", now, old)
	}

	if err := os.WriteFile(code, []byte(adapter), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = sp.ReloadConfig(t.Context())
	if err != nil || len(got.Failures) != 0 || len(got.Changes) != 1 || got.Changes[0].Knob != "max_payload" {
		t.Errorf("mended: %+v, %v; want max_payload to change", got, err)
	}
	if now := readyWorkers(sp); len(now) != 1 || now[0] == old {
		t.Errorf("workers %v, want another than %s", now, old)
	}
}

func readyWorkers(sp *embed.Host) []host.WorkerID {
	var all []host.WorkerID
	for _, w := range sp.Workers("") {
		if w.State == "ready" {
			all = append(all, w.ID)
		}
	}
	return all
}
