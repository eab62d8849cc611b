package embed_test

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const versioned = `
from snakepit import Adapter, tool

class Tools(Adapter):
    @tool
    def version(self) -> int:
        return VERSION
`

// rewrite gives each version a length of its own: Python takes a file of the same length
// and the same second for what it has compiled already.
func rewrite(t *testing.T, cfg embed.Config, version string) {
	t.Helper()
	path, _, _ := strings.Cut(cfg.Adapter, ":")
	if err := os.WriteFile(path, []byte(strings.Replace(versioned, "VERSION", version, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// callers call until they're stopped; at gives what they got last.
func callers(t *testing.T, sp snakepit.Caller) (at func() int64, stop func() int64) {
	t.Helper()
	var last, failed atomic.Int64
	var over atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !over.Load() {
				v, err := snakepit.Call[int64](t.Context(), sp, "version", nil)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				last.Store(v)
			}
		})
	}
	return last.Load, func() int64 { over.Store(true); all.Wait(); return failed.Load() }
}

// await waits until a fact holds.
func await(t *testing.T, what string, fact func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	bound := time.NewTimer(time.Minute)
	defer bound.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-bound.C:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestNewCodeIsServedAfterAReloadAndNoCallFails(t *testing.T) {
	cfg := config(t)
	rewrite(t, cfg, "1")
	sp := start(t, cfg)
	at, stop := callers(t, sp)
	await(t, "the old version", func() bool { return at() == 1 })
	rewrite(t, cfg, "1 + 1")
	var steps []host.ReloadProgress
	if err := sp.Reload(t.Context(), "", func(p host.ReloadProgress) { steps = append(steps, p) }); err != nil {
		t.Fatal(err)
	}
	await(t, "the new version", func() bool { return at() == 2 })
	if len(steps) != 3 || steps[2].Replaced != 2 {
		t.Errorf("steps %+v", steps)
	}
	if n := stop(); n > 0 {
		t.Errorf("%d callers met an error", n)
	}
}

func TestWatchedFilesAreReloadedAndBrokenOnesAreNot(t *testing.T) {
	cfg := config(t)
	cfg.Watch = true
	rewrite(t, cfg, "1")
	sp := start(t, cfg)
	at, stop := callers(t, sp)
	await(t, "the old version", func() bool { return at() == 1 })
	rewrite(t, cfg, "1 +") // no Python
	await(t, "the failed reload", func() bool { return sp.Status().Pools[0].LastStartError != "" })
	if at() != 1 || sp.Status().Pools[0].Ready != 2 {
		t.Errorf("version %d, %d workers ready", at(), sp.Status().Pools[0].Ready)
	}
	rewrite(t, cfg, "1 + 1")
	await(t, "the new version", func() bool { return at() == 2 })
	if n := stop(); n > 0 {
		t.Errorf("%d callers met an error", n)
	}
}

func TestAdapterThatIsInstalledCannotBeWatched(t *testing.T) {
	cfg := config(t)
	cfg.Watch, cfg.Adapter = true, "json:Tools"
	_, err := embed.Start(t.Context(), cfg)
	if errdefs.ReasonOf(err) != errdefs.InvalidConfig {
		t.Errorf("start: %v", err)
	}
}

func TestWorkersAreDrainedAndKilledByID(t *testing.T) {
	sp := start(t, config(t))
	before := sp.Workers("")
	if err := sp.DrainWorker(t.Context(), before[0].ID); err != nil {
		t.Error(err)
	}
	if err := sp.KillWorker(t.Context(), before[1].ID); err != nil {
		t.Error(err)
	}
	await(t, "two new workers", func() bool {
		now := sp.Workers("")
		return sp.Status().Pools[0].Ready == 2 && now[0].ID != before[0].ID && now[1].ID != before[1].ID
	})
}
